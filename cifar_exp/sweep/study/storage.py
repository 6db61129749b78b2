"""Where a study is kept: an RDB that several processes share, and a password that no config shows."""

import os
import time
from pathlib import Path

from cifar_exp.errors import UserError

STORAGE_VARIABLE = "CIFAR_EXP_STORAGE"  # the whole URL, password included, for the jobs of a sweep
STUDY_FILE = "study.db"
WAITS = (0.2, 0.5, 1.0, 2.0)  # seconds, while another worker makes the tables


def default_url(sweep_dir: Path) -> str:
    """A SQLite file in the sweep's directory.

    SQLite rather than Optuna's journal file: a writer killed half-way through a line leaves a journal that can no
    longer be read, and its lock behind; SQLite rolls back, and the kernel frees its locks.
    """
    return f"sqlite:///{(sweep_dir / STUDY_FILE).absolute()}"


def absolute_url(url: str) -> str:
    """`url` with the path of a SQLite file made absolute: jobs may run in another directory.

    Raises UserError for what is no URL.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UserError(
            f"hydra.sweeper.storage: '{masked(url)}' is no storage URL; expected null, "
            "sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE."
        ) from None
    if sqlite_file(url) is not None:
        parsed = parsed.set(database=str(Path(str(parsed.database)).absolute()))
    return parsed.render_as_string(hide_password=False)


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL, None for any other storage."""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
    return Path(str(parsed.database)) if is_file else None


def masked(url: str) -> str:
    """`url` without its password, for configs, logs and wandb."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url.split("@")[-1]


def unmasked(url: str) -> str:
    """The URL whose masked form a job's config holds; the sweeper leaves the whole in the environment."""
    whole = os.environ.get(STORAGE_VARIABLE)
    return whole if whole is not None and masked(whole) == url else url


def open_storage(url: str):  # type: ignore[no-untyped-def] # an optuna.storages.RDBStorage, imported late
    """Opens the RDB at `url`. Raises UserError where it cannot be reached or lacks its driver."""
    import optuna
    from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    waits = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        for wait in WAITS:
            try:
                return optuna.storages.RDBStorage(url, engine_kwargs=waits)
            except (IntegrityError, ProgrammingError):  # another worker is making the same tables
                time.sleep(wait)
        return optuna.storages.RDBStorage(url, engine_kwargs=waits)
    except (SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"hydra.sweeper.storage: cannot use {masked(url)}:\n{reason}") from None
