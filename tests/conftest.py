"""What several test folders share."""

import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

SAMPLE = {"train": 200, "test": 100}  # real images of each class
REQUIRE = "CIFAR_EXP_REQUIRE_REAL_DATA"  # set where the absence of the real images is an error, as in .ci/run
ROOT = "CIFAR_EXP_REAL_DATA"  # a directory with train/<class>/* and test/<class>/*
ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "cifar10-jpeg.tar.xz"

# By the seconds that they take. Two processes that share the tests then end with short ones, and neither is left idle
LONGEST = ("sweep/test_engines", "training/test_ddp", "scripts/test_quickstart", "sweep/test_workers")

Run = Callable[..., int]


# Test processes share the cores; told before any of them loads torch, so that those they start use as many threads
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest."""
    place = {Path(__file__).parent / f"{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is left in the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.getbasetemp() / "cache")


def sampled(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The first images of each class in the archive."""
    taken: Counter[str] = Counter()
    for member in archive:
        directory, split = os.path.dirname(member.name), PurePath(member.name).parts[0]
        if member.isfile() and taken[directory] < SAMPLE.get(split, 0):
            taken[directory] += 1
            yield member


@pytest.fixture(scope="session")
def real_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a sample of the real CIFAR-10 images (JPEG copies)."""
    if ROOT not in os.environ and not ARCHIVE.is_file():
        if os.environ.get(REQUIRE):
            pytest.fail(f"{REQUIRE} is set, but neither {ROOT} nor {ARCHIVE} is there")
        pytest.skip(f"no real images: neither {ROOT} nor the archive is there")
    sample = tmp_path_factory.mktemp("cifar10-jpeg")
    if ROOT not in os.environ:
        with tarfile.open(ARCHIVE) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4 on
            archive.extractall(sample, sampled(archive))
        return sample
    for split, count in SAMPLE.items():
        for directory in sorted(Path(os.environ[ROOT], split).iterdir()):
            part = sample / split / directory.name
            part.mkdir(parents=True)
            for file in sorted(directory.iterdir())[:count]:
                (part / file.name).symlink_to(file.absolute())
    return sample


@pytest.fixture
def cifar_exp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `cifar-exp ARGUMENTS…` in this process and in an empty directory; returns the exit status.

    Trainings draw no curves, which would take a third of their time; those of `trained_run` do.
    """
    from cifar_exp.cli import run

    monkeypatch.setattr("cifar_exp.training.fit.plot_curves", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run([str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of one finished run of two epochs with seed 5; tests that write into it take a copy."""
    from cifar_exp.cli import run
    from tests.training.tiny import TINY

    directory = tmp_path_factory.mktemp("trained") / "run"
    assert run(["train", *TINY, "trainer.max_epochs=2", "seed=5", f"hydra.run.dir={directory}"]) == 0
    return directory
