"""Where configs are: the shipped ones, and the user's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from cifar_exp.errors import UserError
from cifar_exp.files import expanded

_users_directory: ContextVar[Path | None] = ContextVar("users_directory", default=None)


def conf_dir() -> Path:
    """Return `cifar_exp/conf` of an installed wheel, or `conf/` of the checkout behind an editable install."""
    package = Path(__file__).resolve().parents[1]
    inside_wheel = package / "conf"
    return inside_wheel if inside_wheel.is_dir() else package.parent / "conf"


def users_conf_dir() -> Path | None:
    """Return the directory of the user's own groups, which precedes the shipped configs; None where there is none."""
    return _users_directory.get()


@contextmanager
def users_configs(directory: str | Path | None) -> Iterator[None]:
    """Put the groups in `directory` before the shipped ones while the context is open.

    Raises:
        UserError: `directory` does not exist.
    """
    path = None if directory is None else expanded(directory).absolute()
    if path is not None and not path.is_dir():
        raise UserError(f"--config-dir {directory}: no such directory.")
    token = _users_directory.set(path)
    try:
        yield
    finally:
        _users_directory.reset(token)
