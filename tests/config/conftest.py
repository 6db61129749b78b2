import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from cifar_exp import cli
from cifar_exp.errors import UserError
from tests.config.harness import CifarExp, Ended, FakeTraining


@pytest.fixture(autouse=True)
def _own_directory_and_logging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def cifar_exp(capsys: pytest.CaptureFixture[str]) -> CifarExp:
    """Runs `cifar-exp ARGUMENTS…` in this process."""

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        status = cli.run(arguments)
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return run


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    import cifar_exp.training.task

    fake = FakeTraining()
    monkeypatch.setattr(cifar_exp.training.task, "train_in", fake.train_in)
    return fake


@pytest.fixture
def broken_image() -> UserError:
    return UserError("broken.png: not an image.")
