"""The repository's pages name files that exist and the version that is installed."""

import re
from pathlib import Path

import pytest
import yaml

from cifar_exp import __version__

REPOSITORY = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "docs/fifty-thousand.md", "docs/findings.md", "docs/sweeps.md"]
IN_THE_REPOSITORY = re.compile(r"\b((?:cifar_exp|conf|docs|examples|results|scripts|tests)/[\w./-]*\w)")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    named = {path for path in IN_THE_REPOSITORY.findall(text) if "NAME" not in path}
    assert {path for path in named if not (REPOSITORY / path).exists()} == set()


RESULT_ROW = re.compile(r"^\| (\w+) \| .*\*\*([\d.]+) %\*\*( ± [\d.]+)? \|.* experiment=(\w+) ", re.MULTILINE)


def test_the_accuracies_of_the_readme_are_those_of_the_leaderboard() -> None:
    rows = RESULT_ROW.findall((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert {row[0] for row in rows} >= {"model1", "model2", "model3", "model50k", "best50k"}
    board = (REPOSITORY / "results" / "leaderboard.md").read_text(encoding="utf-8").splitlines()
    for network, accuracy, deviation, recipe in rows:
        assert any(
            line.startswith(f"| {network} |")
            and f"| {accuracy}%{deviation} |" in line
            and f"experiment={recipe} " in line
            for line in board
        ), f"{network}: {accuracy}%{deviation} by experiment={recipe} is not on the leaderboard"


def test_the_changelog_starts_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == __version__


def test_the_citation_file_names_its_authors_and_no_version_of_its_own() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["authors"]
    assert "version" not in citation
