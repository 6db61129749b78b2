from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from tests.training.tiny import TINY


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `-m` directory of two finished runs of three epochs that differ in their seed."""
    from cifar_exp.cli import run

    directory = tmp_path_factory.mktemp("sweeps") / "seeds"
    shared = ("seed=0,1", "trainer.max_epochs=3", "name=${model.name}", f"hydra.sweep.dir={directory}")
    assert run(["train", "-m", *TINY, *shared]) == 0
    return directory


@dataclass
class Reported:
    """The directory that a report was written into, and what the command printed."""

    directory: Path
    printed: str


@pytest.fixture(scope="session")
def reported(seeds: Path, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """The report of the two runs, where `output` was not given; tests only read it."""
    from cifar_exp.cli import run

    directory = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.chdir(directory)
        assert run(["report", f"runs=[{seeds / '0'},{seeds / '1'}]"]) == 0
    return Reported(directory / "report", printed.getvalue())
