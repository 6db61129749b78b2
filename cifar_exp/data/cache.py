"""Decoded images on disk: written atomically, checked when read, made again when damaged."""

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cifar_exp.errors import UserError
from cifar_exp.files import expanded

log = logging.getLogger(__name__)

FORMAT = 1  # raise it whenever decoding changes, so that older caches are not used


def cache_directory(cache_dir: str | None) -> Path:
    """Return `data.cache_dir`, or where the user's programs keep what can be made again (XDG Base Directory).

    A user without a home has a directory among the temporary files.
    """
    if cache_dir is not None:
        return expanded(cache_dir).absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).absolute() / "cifar-exp"
    try:
        return expanded("~/.cache") / "cifar-exp"
    except UserError:
        return Path(tempfile.gettempdir()) / f"cifar-exp-{os.getuid()}"


def cached_images(
    directory: Path, source: str, fingerprint: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]
) -> np.ndarray:
    """The images of `source` as they were when it had this `fingerprint`, made and kept if not yet there.

    Args:
        directory: where the cache is.
        source: what the images are of; an older state of the same source is removed.
        fingerprint: the state of the source.
        shape: what the array must have; uint8.
        make: makes the array.
    """
    place = hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()[:16]
    state = hashlib.sha256(f"{FORMAT} {fingerprint}".encode()).hexdigest()[:32]
    path = directory / f"{place}-{state}.npz"
    images = _read(path, shape)
    if images is not None:
        return images
    images = make()
    try:
        _write(path, images)
        for outdated in directory.glob(f"{place}-*.npz"):
            if outdated != path:
                outdated.unlink(missing_ok=True)
    except OSError as error:
        log.warning("decoded images are not kept: %s (data.cache_dir=DIR chooses another place)", error)
    return images


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        with np.load(path, allow_pickle=False) as file:  # checks the CRC-32 of what it reads
            images: np.ndarray = file["images"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("the cache file %s is damaged (%s) and is made again", path, error)
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _write(path: Path, images: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, images=images)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
