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
