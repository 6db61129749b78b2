"""The versions that the scripts install."""

from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
OLDEST = "3.11.0"  # Debian 12 has 3.11.2, for which pip finds nothing where a version needs 3.11.5


def test_each_version_is_for_the_oldest_python_too() -> None:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if "==" in line]
    pinned = {canonicalize_name(one.name): one.specifier for one in map(Requirement, lines)}
    installed = [one for one in distributions() if one.version in pinned.get(canonicalize_name(one.name), "")]
    needs = {one.name: str(one.metadata["Requires-Python"] or "") for one in installed}
    assert len(needs) > 50
    assert {name: needed for name, needed in needs.items() if not SpecifierSet(needed).contains(OLDEST)} == {}
