"""Files that are either whole or not there: written under a temporary name, then renamed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cifar_exp.errors import UserError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`; what was written there takes `path`'s place if nothing was raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def users_choice(path: Path) -> Iterator[None]:
    """Turns what the system says against writing to a path that the user chose into a UserError that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from None


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, document: Any) -> None:
    """Writes one JSON document, indented."""
    write_text(path, json.dumps(document, indent=2) + "\n")
