"""Where a study is kept: storages that fail, are missing, or have a password."""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep.conftest import starts, sweep_arguments, table

Pretend = Callable[..., int]


def test_a_study_that_is_removed_stops_the_sweep_and_is_made_again(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 3), misfortunes={1: "removes the study"}) == 2
    reported = capfd.readouterr().err
    assert f"{sweep / 'study.db'} was removed while the sweep was running" in reported
    assert "Traceback" not in reported
    assert pretend(*sweep_arguments(sweep, 3)) == 0
    assert [row["state"] for row in table(sweep)] == ["complete"] * 3
    assert [trial for trial, *_ in starts(tmp_path / "starts.log")] == [0, 1, 2]


def test_a_damaged_study_is_made_again_once_it_is_removed(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 1)) == 0
    (sweep / "study.db").write_bytes(b"after a power failure" * 1000)
    assert pretend(*sweep_arguments(sweep, 2)) == 2
    assert "The same command makes it again from the trials once it is removed." in capfd.readouterr().err
    (sweep / "study.db").unlink()
    assert pretend(*sweep_arguments(sweep, 2)) == 0
    assert [trial for trial, *_ in starts(tmp_path / "starts.log")] == [0, 1]


def test_a_storage_that_cannot_grow_stops_the_sweep_with_one_message(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A limit of the size of files has the effect of a full disk."""
    resource = pytest.importorskip("resource")
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 1)) == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((sweep / "study.db").stat().st_size, hard))
    try:
        assert pretend(*sweep_arguments(sweep, 30)) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    reported = capfd.readouterr().err
    assert f"{sweep / 'study.db'} can no longer be used:" in reported
    assert "Traceback" not in reported
    assert "Once it can be used, the same command continues the sweep." in reported
    ended = len(table(sweep))
    assert pretend(*sweep_arguments(sweep, ended + 1)) == 0
    assert [row["state"] for row in table(sweep)] == ["complete"] * (ended + 1)


@pytest.mark.parametrize("scheme", ["sqlite:///", "journal://"])
@pytest.mark.parametrize("kind", ["a directory", "another file"])
def test_a_storage_that_is_no_study_is_reported_in_one_message(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str], scheme: str, kind: str
) -> None:
    file = tmp_path / "storage"
    if kind == "a directory":
        file.mkdir()
    else:
        file.write_text("not a study\n" * 1000)
    assert pretend(*sweep_arguments(tmp_path / "sweep", 1, f"hydra.sweeper.storage={scheme}{file}")) == 2
    reported = capfd.readouterr().err
    assert f"cannot use {scheme}{file}:" in reported
    assert len(reported.strip().splitlines()) <= 3
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("redis://localhost", "redis"),
        ("mysql://me:secret@localhost/studies", "pymysql"),
        ("grpc://localhost", "grpcio"),
    ],
)
def test_a_storage_whose_package_is_missing_reports_what_to_install(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str], url: str, package: str
) -> None:
    if importlib.util.find_spec({"grpcio": "grpc"}.get(package, package)) is not None:
        pytest.skip(f"{package} is installed")
    assert pretend(*sweep_arguments(tmp_path / "sweep", 1, f"hydra.sweeper.storage='{url}'")) == 2
    reported = capfd.readouterr().err
    assert f"pip install {package}" in reported
    assert "secret" not in reported
    assert len(reported.strip().splitlines()) == 2


def test_no_password_is_written_down(
    pretend: Pretend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from cifar_exp.sweep.study import storage, study

    opened = storage.open_storage
    monkeypatch.setattr(study, "open_storage", lambda url: opened(f"sqlite:///{tmp_path / 'there.db'}"))
    url = "postgresql+psycopg://me:secret@localhost/studies"
    assert pretend(*sweep_arguments(tmp_path / "sweep", 1, f"hydra.sweeper.storage='{url}'")) == 0
    assert "secret" not in capfd.readouterr().err
    written = [path for path in (tmp_path / "sweep").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    assert written == []
    shutil.rmtree(tmp_path / "sweep")
