"""The storage of a study: a file that several processes share, or a database whose password no config shows.

On one machine the file is SQLite's. Its locks cannot be relied on over NFS, so workers on several machines share
Optuna's journal instead, a file to which every change is appended under a lock that NFS supports.

The file in the sweep's directory is written without waiting for the disk, which would take a quarter of a second per
trial. A killed process loses nothing of it. A power failure may damage it; it is then made again from the trials'
directories.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from cifar_exp.errors import UserError

STORAGE_VARIABLE = "CIFAR_EXP_STORAGE"  # the whole URL, password included, for the jobs of a sweep
STUDY_FILE, JOURNAL_FILE = "study.db", "study.journal"
JOURNAL, GRPC = "journal://", "grpc://"
WAITS = (0.2, 0.5, 1.0, 2.0)  # seconds, while another worker makes the tables
LOCK_SECONDS = 10  # after which the lock of a journal is taken from a writer that died
EXPECTED = (
    "null, sqlite:///FILE, journal:///FILE, postgresql+psycopg://USER@HOST/DATABASE, redis:// or grpc://HOST:PORT"
)
DRIVERS = {  # what to install, and how the URL begins then
    "postgresql": ("'cifar-exp[postgres]'", "postgresql+psycopg://"),
    "mysql": ("pymysql", "mysql+pymysql://"),
    "mariadb": ("pymysql", "mariadb+pymysql://"),
    "redis": ("redis", "redis://"),
    "rediss": ("redis", "rediss://"),
    "grpc": ("grpcio protobuf", "grpc://"),
}
GRPC_PORT = 13000  # Optuna's default
CONNECT_SECONDS = 10.0

_opened: dict[tuple[str, int], BaseStorage] = {}  # by URL and process: a storage reads all trials once


def default_url(sweep_dir: Path, several_machines: bool = False) -> str:
    """Return the URL of a file in the sweep's directory: the existing one, else a new SQLite file or journal."""
    directory = sweep_dir.absolute()
    has_journal = (directory / JOURNAL_FILE).exists()
    if has_journal or (several_machines and not (directory / STUDY_FILE).exists()):
        return f"{JOURNAL}{directory / JOURNAL_FILE}"
    return f"sqlite:///{quote(str(directory / STUDY_FILE))}"


def absolute_url(url: str) -> str:
    """Return `url` with the path of a file made absolute, as jobs may run in another directory.

    Raises:
        UserError: not a URL.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if url.startswith(GRPC):
        return url
    if url.startswith(JOURNAL):
        return f"{JOURNAL}{Path(url.removeprefix(JOURNAL)).absolute()}"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UserError(f"hydra.sweeper.storage: '{masked(url)}' is not a storage URL; expected {EXPECTED}.") from None
    if sqlite_file(url) is not None:
        parsed = parsed.set(database=str(Path(str(parsed.database)).absolute()))
    return parsed.render_as_string(hide_password=False)


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite URL, None for any other storage."""
    from sqlalchemy.engine import make_url

    if not url.startswith("sqlite"):
        return None
    parsed = make_url(url)
    return Path(parsed.database) if parsed.database not in (None, "", ":memory:") else None


def file_of(url: str) -> Path | None:
    """Return the file of a storage that is one, None for any other."""
    return Path(url.removeprefix(JOURNAL)) if url.startswith(JOURNAL) else sqlite_file(url)


def masked(url: str) -> str:
    """Return `url` without its password, for configs, logs and wandb."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if url.startswith((JOURNAL, GRPC)):
        return url
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url.split("@")[-1]


def unmasked(url: str) -> str:
    """Return the URL whose masked form a job's config contains; the sweeper puts the whole into the environment."""
    whole = os.environ.get(STORAGE_VARIABLE)
    return whole if whole is not None and masked(whole) == url else url


def open_storage(url: str) -> BaseStorage:
    """Open the storage at `url`, once in each process.

    Raises:
        UserError: it cannot be reached, or its driver is missing.
    """
    import optuna

    key = (url, os.getpid())
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if key in _opened:
        check_file_exists(url)
        return _opened[key]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = _new_storage(url)
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"hydra.sweeper.storage: {masked(url)} {_missing(url, error)}") from None
    except Exception as error:  # whatever a driver may raise
        again = "\nThe same command makes it again from the trials once it is removed." if _is_own(url) else ""
        raise UserError(f"hydra.sweeper.storage: cannot use {masked(url)}:\n{reason_of(error)}{again}") from None
    _opened[key] = storage
    return storage


def check_file_exists(url: str) -> None:
    """Raise UserError where the file of an open storage was removed; SQLite would report it as read-only."""
    file = file_of(url)
    if file is None:
        return
    is_empty = file.exists() and file.stat().st_size == 0  # made again by the heartbeat's connection
    if not file.exists() or (is_empty and not url.startswith(JOURNAL)):
        raise UserError(
            f"hydra.sweeper.storage: {file} was removed while the sweep was running.\n"
            "The same command makes it again, with the trials whose directories are there."
        )


def reason_of(error: BaseException) -> str:
    """Return the first line of what a storage's driver reports."""
    texts = (str(error.__cause__ or ""), str(error), type(error).__name__)
    return next(text for text in texts if text.strip()).strip().splitlines()[0]


def storage_errors() -> tuple[type[Exception], ...]:
    """Return what the drivers in use raise where a storage cannot be reached or written any more."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    errors: list[type[Exception]] = [SQLAlchemyError, StorageInternalError]
    for module, name in (("redis", "RedisError"), ("grpc", "RpcError")):
        if module in sys.modules:
            errors.append(getattr(sys.modules[module], name))
    return tuple(errors)


def _missing(url: str, error: ImportError) -> str:
    """Which package a storage needs, where it is known, and how to install it."""
    dialect, _, _ = url.partition(":")
    package, beginning = DRIVERS.get(dialect.partition("+")[0], ("", ""))
    if not package:
        return f"needs a package that is not installed:\n{reason_of(error)}"
    return (
        f"needs a package that is not installed.\nInstall it: pip install {package}; the URL begins with {beginning}."
    )


def close_storage(url: str) -> None:
    """Close this process's connections to the storage at `url`; the next `open_storage` makes new ones.

    A connection that stays open would lock nothing, but it keeps a SQLite file that was moved or restored meanwhile.
    """
    storage = _opened.pop((url, os.getpid()), None)
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()
    elif storage is not None and hasattr(storage, "close"):  # of Optuna's storages, the gRPC client alone has it
        storage.close()


def _new_storage(url: str) -> BaseStorage:
    if url.startswith(JOURNAL):
        file = url.removeprefix(JOURNAL)
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(file, lock_obj=WholeLinesLock(file)))
    if url.startswith(("redis://", "rediss://")):
        from optuna.storages.journal import JournalRedisBackend

        return JournalStorage(_with_imports(lambda: JournalRedisBackend(url)))
    if url.startswith(GRPC):
        from optuna.storages import GrpcStorageProxy

        host, _, port = url.removeprefix(GRPC).rstrip("/").partition(":")
        if not (port or "0").isdecimal():
            raise UserError(f"hydra.sweeper.storage: '{url}' has no port number; expected grpc://HOST:{GRPC_PORT}.")
        proxy: GrpcStorageProxy = _with_imports(lambda: GrpcStorageProxy(host=host, port=int(port or GRPC_PORT)))
        proxy.wait_server_ready(timeout=CONNECT_SECONDS)
        return proxy
    return _rdb(url)


def _with_imports(make: Callable[[], Any]) -> Any:
    """Return what `make` returns; Optuna reports a missing package as an ImportError or as an undefined name."""
    try:
        return make()
    except NameError as error:
        raise ImportError(str(error), name=error.name) from None


def _rdb(url: str) -> RDBStorage:
    from sqlalchemy import event
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    for wait in (*WAITS, None):
        try:
            storage = RDBStorage(url, engine_kwargs=options)
            break
        except (IntegrityError, ProgrammingError):  # another worker is making the same tables
            if wait is None:
                raise
            time.sleep(wait)
    if _is_own(url):
        event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        storage.engine.dispose()  # connections that are open already
    return storage


def _is_own(url: str) -> bool:
    """Return whether this is a SQLite file with the name of the one in a sweep's directory."""
    file = sqlite_file(url)
    return file is not None and file.name == STUDY_FILE


class WholeLinesLock(JournalFileOpenLock):
    """Optuna's lock for NFS, which also removes the line that a writer left unfinished when it was killed.

    Optuna can read a journal whose last line is unfinished, but no longer once another line is appended to it.
    """

    def __init__(self, file: str) -> None:
        super().__init__(file, grace_period=LOCK_SECONDS)
        self._file = Path(file)

    def acquire(self) -> bool:
        """Wait for the lock, then make the file end with a whole line."""
        super().acquire()
        if self._file.exists() and (size := self._file.stat().st_size):
            with self._file.open("rb+") as file:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    file.seek(0)
                    file.truncate(file.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Release the lock, which another process may have taken while this one was stopped."""
        try:
            super().release()
        except RuntimeError:
            return
