"""A folder of images, `train/<class>/*` and `test/<class>/*`, looked at from outside; torch is not imported."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_exp.errors import UserError, did_you_mean

SPLITS = ("train", "test")
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LAYOUT = "train/<class>/* and test/<class>/*"
NAMES_SHOWN = 5


@dataclass(frozen=True)
class FolderListing:
    """The image files of one split, sorted by class and name."""

    files: list[str]
    labels: list[int]
    fingerprint: str  # changes when a file is added, removed, renamed or written


def find_root(root: str | None) -> Path:
    """The folder that `data.root` names; raises UserError where there is none."""
    if root is None:
        raise UserError(f"data.root: data=folder needs data.root=DIR, a directory with {LAYOUT}.")
    path = Path(root).expanduser().absolute()
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"data.root: '{path}' is a file, expected a directory with {LAYOUT}.")
    parent = next(parent for parent in path.parents if parent.is_dir())
    lost = path.relative_to(parent).parts[0]
    near = did_you_mean(lost, _subdirectories(parent))
    raise UserError(f"data.root: there is no directory '{path}': '{parent}' has no '{lost}'.{near}")


def find_class_names(root: Path) -> tuple[str, ...]:
    """The sorted names of the class directories.

    Raises:
        UserError: a split is missing or holds fewer than two classes, a class is in one split only, or
            a class has no image.
    """
    train, test = (_class_directories(root, split) for split in SPLITS)
    if train != test:
        raise UserError(_one_split_only(root, train, test))
    if len(train) < 2:
        raise UserError(f"data.root: '{root / 'train'}' has one class, '{train[0]}'; at least 2 are needed.")
    for directory in (root / split / name for split in SPLITS for name in train):
        if next(_image_entries(directory), None) is None:
            kinds = ", ".join(IMAGE_SUFFIXES)
            raise UserError(f"data.root: no image in '{directory}' (files that end in {kinds} count).")
    return tuple(train)


def list_images(root: Path, split: str, class_names: Sequence[str]) -> FolderListing:
    """All image files of one split, with their labels; the image files themselves are not read."""
    files: list[str] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    for label, name in enumerate(class_names):
        for entry in sorted(_image_entries(root / split / name), key=lambda entry: entry.name):
            status = entry.stat()
            digest.update(f"{name}/{entry.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "replace"))
            files.append(entry.path)
            labels.append(label)
    return FolderListing(files, labels, digest.hexdigest())


def _class_directories(root: Path, split: str) -> list[str]:
    if not (root / split).is_dir():
        found = _subdirectories(root)
        held = f"It has {_listed(found)}." if found else "It has no directories."
        raise UserError(
            f"data.root: '{root}' has no directory '{split}' (expected {LAYOUT}). {held}{did_you_mean(split, found)}"
        )
    names = _subdirectories(root / split)
    if not names:
        raise UserError(f"data.root: '{root / split}' has no class directories (expected {split}/<class>/*).")
    return names


def _one_split_only(root: Path, train: list[str], test: list[str]) -> str:
    lines = [f"data.root: the classes in '{root}' differ between train/ and test/."]
    for here, there, names, others in (("train", "test", train, test), ("test", "train", test, train)):
        lone = [name for name in names if name not in others]
        lines += [
            f"  only in {here}/: '{name}', which {there}/ lacks.{did_you_mean(name, set(others) - set(names))}"
            for name in lone[: NAMES_SHOWN - 1]
        ]
        if len(lone) >= NAMES_SHOWN:
            lines.append(f"  only in {here}/: {len(lone) - NAMES_SHOWN + 1} more")
    return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"


def _subdirectories(directory: Path) -> list[str]:
    with _scan(directory) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _image_entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    with _scan(directory) as entries:
        for entry in entries:
            name = entry.name.lower()
            if name.endswith(IMAGE_SUFFIXES) and not name.startswith(".") and entry.is_file():
                yield entry


def _scan(directory: Path) -> "os._ScandirIterator[str]":
    try:
        return os.scandir(str(directory))
    except OSError as error:
        raise UserError(f"data.root: cannot list '{directory}': {error.strerror}.") from error
