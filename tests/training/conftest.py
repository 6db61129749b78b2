from pathlib import Path

import pytest

from cifar_exp.cli import run
from tests.training.tiny import LEARNING


@pytest.fixture(scope="session")
def learned_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run that has learned its classes; tests only read it."""
    directory = tmp_path_factory.mktemp("learned") / "run"
    assert run(["train", *LEARNING, f"hydra.run.dir={directory}"]) == 0
    return directory
