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
from cifar_exp.files import atomic, expanded

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
    """Return the images of `source` with this `fingerprint`; decode and save them where the cache does not have them.

    Args:
        directory: of the cache.
        source: what the images are of; those with an older fingerprint are removed.
        fingerprint: changes whenever the source does.
        shape: of the array; uint8.
        make: decodes the images.
    """
    place = hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()[:16]
    state = hashlib.sha256(f"{FORMAT} {fingerprint}".encode()).hexdigest()[:32]
    path = directory / f"{place}-{state}.npz"
    images = _read(path, shape)
    if images is not None:
        return images
    images = make()
    try:
        with atomic(path) as temporary:
            np.savez(temporary, images=images)
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
