"""What several test folders share."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

REQUIRE = "CIFAR_EXP_REQUIRE_REAL_DATA"  # set where the absence of the real images is an error, as in .ci/run
ROOT = "CIFAR_EXP_REAL_DATA"  # a directory with train/<class>/* and test/<class>/*
ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "cifar10-jpeg.tar.xz"

Run = Callable[..., int]


# Test processes share the cores; told before any of them loads torch, so that those they start use as many threads
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is left in the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.getbasetemp() / "cache")


@pytest.fixture(scope="session")
def real_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of the real CIFAR-10 images (JPEG copies)."""
    if ROOT in os.environ:
        return Path(os.environ[ROOT])
    if not ARCHIVE.is_file():
        if os.environ.get(REQUIRE):
            pytest.fail(f"{REQUIRE} is set, but neither {ROOT} nor {ARCHIVE} is there")
        pytest.skip(f"no real images: neither {ROOT} nor the archive is there")
    root = tmp_path_factory.mktemp("cifar10-jpeg")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root, filter="data")
    return root


@pytest.fixture
def cifar_exp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `cifar-exp ARGUMENTS…` in this process and in an empty directory; returns the exit status."""
    from cifar_exp.cli import run

    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run([str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of one finished run of two epochs; tests that write into it take a copy."""
    from cifar_exp.cli import run
    from tests.training.tiny import TINY

    directory = tmp_path_factory.mktemp("trained") / "run"
    assert run(["train", *TINY, "trainer.max_epochs=2", f"hydra.run.dir={directory}"]) == 0
    return directory
