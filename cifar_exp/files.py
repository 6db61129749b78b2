"""Files that are either whole or absent: written under a temporary name, then renamed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from cifar_exp.errors import UserError


def nearest_path(path: Path) -> str:
    """Return ` Did you mean 'outputs/model2'?` where an existing path is like a missing one, else an empty string."""
    there = next((parent for parent in path.parents if parent.is_dir()), None)
    if there is None or path.exists():
        return ""
    missing, *rest = path.relative_to(there).parts
    near = get_close_matches(missing, [one.name for one in there.iterdir()], n=1, cutoff=0.6)
    return f" Did you mean '{there.joinpath(near[0], *rest)}'?" if near else ""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path; what was written there replaces `path` unless an error was raised.

    A link stays one: the file that it names is replaced. A device or a pipe is written to, never replaced.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.exists() and not path.is_file():
        with TemporaryDirectory() as directory:
            temporary = Path(directory) / path.name
            yield temporary
            with temporary.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.tmp{path.suffix}")  # a process id is unique in its container only
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def expanded(path: str | Path) -> Path:
    """Return `path` with the user's home in place of `~`. Raises UserError where the user has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: this user has no home directory; expected a path without ~.") from None


@contextmanager
def users_choice(path: Path) -> Iterator[None]:
    """Turn an error of writing to a path that the user chose into a UserError that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from None


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file. Raises OSError that names `path` where it cannot be written."""
    try:
        with atomic(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_text(path: Path, text: str) -> None:
    """Write a whole file of UTF-8 text; raises as `write_bytes`. Undecodable bytes of a file's name are escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def json_text(document: Any) -> str:
    """Return one JSON document, indented. Raises ValueError for a number that is not finite."""
    return json.dumps(document, indent=2, allow_nan=False)


def write_json(path: Path, document: Any) -> None:
    """Write one JSON document, indented; raises as `write_bytes` and as `json_text`."""
    write_text(path, json_text(document) + "\n")
