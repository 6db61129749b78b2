import shutil
from pathlib import Path

import pytest

from cifar_exp.data.describe import describe
from cifar_exp.data.settings import DataConfig
from cifar_exp.errors import UserError


def message(root: Path | str | None) -> str:
    with pytest.raises(UserError) as caught:
        describe(DataConfig(name="folder", root=None if root is None else str(root)))
    text = str(caught.value)
    assert len(text.splitlines()) <= 12
    return text


def test_cifar_is_known_without_any_file() -> None:
    info = describe(DataConfig(name="cifar10", root="/nowhere"))
    assert info.input_shape == (3, 32, 32)
    assert info.class_names[:3] == ("airplane", "automobile", "bird")
    fine = describe(DataConfig(name="cifar100"))
    assert fine.num_classes == len(set(fine.class_names)) == 100


def test_synthetic_is_as_large_as_asked_for() -> None:
    info = describe(DataConfig(name="synthetic", image_size=16, num_classes=4))
    assert info.input_shape == (3, 16, 16)
    assert info.num_classes == 4


def test_a_folders_classes_are_its_directories(photos: Path) -> None:
    (photos / "train" / ".thumbnails").mkdir()
    (photos / "train" / "notes.txt").touch()
    info = describe(DataConfig(name="folder", root=str(photos), image_size=24))
    assert info.class_names == ("cat", "dog", "owl")
    assert info.input_shape == (3, 24, 24)


def test_images_are_not_read(photos: Path) -> None:
    for file in photos.glob("*/*/*.png"):
        file.write_bytes(b"not an image")
    assert describe(DataConfig(name="folder", root=str(photos))).num_classes == 3


def test_a_folder_needs_a_root() -> None:
    assert "data.root=DIR" in message(None)


def test_a_missing_root_is_named_with_the_nearest_one(photos: Path) -> None:
    text = message(photos.parent / "photo" / "deep")
    assert "'photo'" in text
    assert "Did you mean 'photos'?" in text


def test_a_root_that_is_a_file_is_refused(photos: Path) -> None:
    assert "is a file" in message(photos / "train" / "cat" / "0.png")


def test_a_missing_split_is_named_with_what_there_is(photos: Path) -> None:
    (photos / "test").rename(photos / "tests")
    text = message(photos)
    assert "no directory 'test'" in text
    assert "Did you mean 'tests'?" in text


def test_a_split_without_classes_is_named(photos: Path) -> None:
    shutil.rmtree(photos / "test")
    (photos / "test").mkdir()
    assert "no class directories" in message(photos)


def test_a_class_in_one_split_only_is_named_with_the_nearest_one(photos: Path) -> None:
    (photos / "test" / "owl").rename(photos / "test" / "owls")
    text = message(photos)
    assert "only in train/: 'owl', which test/ lacks. Did you mean 'owls'?" in text
    assert "only in test/: 'owls', which train/ lacks. Did you mean 'owl'?" in text


def test_many_lone_classes_still_fit_into_the_message(photos: Path) -> None:
    for number in range(40):
        (photos / "train" / f"more{number}").mkdir()
        (photos / "test" / f"other{number}").mkdir()
    assert "36 more" in message(photos)


def test_a_class_without_images_is_named(photos: Path) -> None:
    for file in (photos / "test" / "dog").iterdir():
        file.rename(file.with_suffix(".txt"))
    assert str(photos / "test" / "dog") in message(photos)


def test_a_single_class_is_refused(photos: Path) -> None:
    for split in ("train", "test"):
        shutil.rmtree(photos / split / "cat")
        shutil.rmtree(photos / split / "dog")
    assert "'owl'" in message(photos)


def test_a_link_to_itself_as_class_directory_is_named(photos: Path) -> None:
    (photos / "train" / "ghost").symlink_to("ghost")
    assert f"'{photos / 'train' / 'ghost'}' is a symbolic link that points to itself" in message(photos)


def test_a_class_of_other_files_is_named_with_what_it_contains(photos: Path) -> None:
    for file in (photos / "test" / "dog").iterdir():
        file.rename(file.with_suffix(".heap"))
    assert "2 entries that are not read: 2 ending in .heap" in message(photos)
