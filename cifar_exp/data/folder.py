"""The files of an image folder, `train/<class>/*` and `test/<class>/*`; none is opened, and torch is not imported."""

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cifar_exp.errors import UserError, did_you_mean
from cifar_exp.files import expanded

SPLITS = ("train", "test")
LAYOUT = "train/<class>/* and test/<class>/*"
NAMES_SHOWN = 5
REASONS_SHOWN = 4
# Formats that Pillow only recognises, or renders with programs that may be missing
NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}


@dataclass(frozen=True)
class FolderListing:
    """The image files of one split, sorted by class and name."""

    files: list[str]
    labels: list[int]
    fingerprint: str  # changes when a file is added, removed, renamed or written
    ignored: str = ""  # how many files are not used and why; empty where all are


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes of image files that Pillow reads, in lower case with their dots."""
    from PIL import Image

    extensions = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in extensions.items() if kind in Image.OPEN and kind not in NO_PICTURES)


def find_root(root: str | None) -> Path:
    """Return the directory that `data.root` names. Raises UserError where there is none."""
    if root is None:
        raise UserError(f"data.root: data=folder needs data.root=DIR, a directory with {LAYOUT}.")
    path = expanded(root).absolute()
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"data.root: '{path}' is a file, expected a directory with {LAYOUT}.")
    parent = next(parent for parent in path.parents if parent.is_dir())
    missing = path.relative_to(parent).parts[0]
    near = did_you_mean(missing, _subdirectories(parent))
    raise UserError(f"data.root: there is no directory '{path}': '{parent}' has no '{missing}'.{near}")


def find_class_names(root: Path) -> tuple[str, ...]:
    """Return the sorted names of the class directories.

    Raises:
        UserError: a split is missing or contains fewer than two classes, a class exists in one split only, a class
            has no image, or a directory cannot be read.
    """
    train, test = (_class_directories(root, split) for split in SPLITS)
    if train != test:
        raise UserError(_one_split_only(root, train, test))
    if len(train) < 2:
        raise UserError(f"data.root: '{root / 'train'}' has one class, '{train[0]}'; at least 2 are needed.")
    for directory in (root / split / name for split in SPLITS for name in train):
        entries = list(_shown_entries(directory))
        if all(_reason_to_ignore(entry) for entry in entries):
            found = _ignored_text([(entry, _reason_to_ignore(entry)) for entry in entries])
            held = f"it has {found}" if found else "it is empty"
            raise UserError(f"data.root: no image that Pillow reads in '{directory}': {held}.")
    return tuple(train)


def list_images(root: Path, split: str, class_names: Sequence[str]) -> FolderListing:
    """Return all image files of one split, with their labels. Raises UserError where a directory cannot be read."""
    files: list[str] = []
    labels: list[int] = []
    ignored = [
        (entry, "outside of the class directories")
        for entry in _shown_entries(root / split)
        if not _is_directory(entry)
    ]
    digest = hashlib.sha256()
    for label, name in enumerate(class_names):
        for entry in sorted(_shown_entries(root / split / name), key=lambda entry: entry.name):
            reason = _reason_to_ignore(entry)
            if reason:
                ignored.append((entry, reason))
                continue
            status = entry.stat()
            digest.update(f"{name}/{entry.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "replace"))
            files.append(entry.path)
            labels.append(label)
    return FolderListing(files, labels, digest.hexdigest(), _ignored_text(ignored))


def _class_directories(root: Path, split: str) -> list[str]:
    if not (root / split).is_dir():
        found = _subdirectories(root)
        held = f"It contains {_listed(found)}." if found else "It contains no directories."
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
    return sorted(entry.name for entry in _shown_entries(directory) if _is_directory(entry))


def _shown_entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in `directory`, hidden files excepted."""
    try:
        with os.scandir(directory) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"data.root: cannot list '{directory}': {error.strerror}.") from error


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"data.root: '{entry.path}' is a symbolic link that points to itself.") from None
        raise UserError(f"data.root: cannot read '{entry.path}': {error.strerror}.") from None


def _reason_to_ignore(entry: os.DirEntry[str]) -> str:
    """Return why a class directory's entry is no image file, an empty text where it is one."""
    try:
        if entry.is_dir():
            return "a directory"
        if not entry.is_file():
            return "a broken link" if entry.is_symlink() else "not a regular file"
    except OSError:
        return "a broken link"
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in image_suffixes():
        return ""
    return f"ending in {suffix}" if suffix else "without a suffix"


def _ignored_text(ignored: Sequence[tuple[os.DirEntry[str], str]]) -> str:
    """Return `3 files that are not images: 2 ending in .txt, 1 a directory; for example 'train/cat/notes.txt'`."""
    if not ignored:
        return ""
    reasons = Counter(reason for _, reason in ignored).most_common()
    shown = [f"{count:,} {reason}" for reason, count in reasons[:REASONS_SHOWN]]
    others = sum(count for _, count in reasons[REASONS_SHOWN:])
    listed = ", ".join([*shown, *([f"{others:,} others"] if others else [])])
    things = f"{len(ignored):,} entr{'y' if len(ignored) == 1 else 'ies'}"
    return (
        f"{things} that {'is' if len(ignored) == 1 else 'are'} not read: {listed}; for example '{ignored[0][0].path}'"
    )
