import os
import pickle
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5

from cifar_exp.data import describe, sources
from cifar_exp.data.images import ImageSet
from cifar_exp.data.settings import DataConfig
from cifar_exp.data.sources import load_test, load_train_val
from cifar_exp.errors import UserError


def folder(root: Path, **settings: object) -> DataConfig:
    return DataConfig.model_validate({"name": "folder", "root": str(root), "val_fraction": 0.34, **settings})


def synthetic(**settings: object) -> DataConfig:
    return DataConfig.model_validate({"name": "synthetic", **settings})


def contents(data: ImageSet) -> set[bytes]:
    return {image.numpy().tobytes() for image in data.pixels_NHWC}


def cache_files(cache: Path) -> list[Path]:
    return sorted((cache / "folders").iterdir()) if cache.exists() else []


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each decoding took."""
    counts: list[int] = []
    decode = sources.decode_files

    def counting(files: list[str], image_size: int) -> np.ndarray:
        counts.append(len(files))
        return decode(files, image_size)

    monkeypatch.setattr(sources, "decode_files", counting)
    return counts


class Splits(NamedTuple):
    train: ImageSet
    val: ImageSet
    test: ImageSet


def load_splits(data: DataConfig) -> Splits:
    return Splits(*load_train_val(data), load_test(data))


class TestSplits:
    def test_every_training_image_is_in_training_or_validation_once(self, photos: Path) -> None:
        splits = load_splits(folder(photos))
        assert (len(splits.train), len(splits.val), len(splits.test)) == (12, 6, 6)
        assert len(contents(splits.train) | contents(splits.val)) == 18

    def test_validation_has_each_class_in_proportion(self) -> None:
        train, val = load_train_val(synthetic(train_size=1000))
        assert torch.bincount(val.labels).tolist() == [10] * 10
        assert torch.bincount(train.labels).tolist() == [90] * 10

    def test_the_hold_out_depends_on_split_seed_alone(self) -> None:
        assert torch.equal(load_train_val(synthetic())[1].images, load_train_val(synthetic())[1].images)

    def test_another_split_seed_holds_out_others(self, photos: Path) -> None:
        validations = [contents(load_train_val(folder(photos, split_seed=seed))[1]) for seed in range(4)]
        assert any(validation != validations[0] for validation in validations)

    def test_limits_take_a_stratified_part_and_validation_comes_out_of_it(self) -> None:
        splits = load_splits(synthetic(train_limit=200, test_limit=50))
        assert (len(splits.train), len(splits.val), len(splits.test)) == (180, 20, 50)
        assert torch.bincount(splits.test.labels).tolist() == [5] * 10

    def test_a_limit_above_what_there_is_takes_all(self) -> None:
        assert torch.equal(load_test(synthetic(test_limit=10**9)).images, load_test(synthetic()).images)

    def test_too_few_images_for_validation_are_the_users_to_mend(self) -> None:
        with pytest.raises(UserError, match=r"data\.val_fraction=0\.1 of 4 training images"):
            load_splits(synthetic(train_limit=4))

    def test_a_class_of_one_image_is_kept_for_training(self, photos: Path) -> None:
        for number in range(1, 6):
            (photos / "train" / "owl" / f"{number}.png").unlink()
        train, val = load_train_val(folder(photos, val_fraction=0.9))
        assert torch.bincount(train.labels, minlength=3).tolist() == [1, 1, 1]
        assert torch.bincount(val.labels, minlength=3).tolist() == [5, 5, 0]

    def test_images_lie_pixel_by_pixel_in_memory(self, photos: Path) -> None:
        for part in load_splits(folder(photos)):
            assert part.images.dtype == torch.uint8
            assert part.images.is_contiguous(memory_format=torch.channels_last)


class TestFolder:
    def test_pixels_and_labels_belong_together(self, photos: Path) -> None:
        test = load_test(folder(photos))
        expected = np.asarray(Image.open(photos / "test" / "dog" / "1.png"))
        assert test.class_names[test.labels[3]] == "dog"
        assert np.array_equal(test.pixels_NHWC[3].numpy(), expected)

    def test_a_broken_image_is_named_and_nothing_is_kept(self, photos: Path, own_cache: Path) -> None:
        (photos / "test" / "dog" / "1.png").write_bytes(b"no image")
        with pytest.raises(UserError, match=r"dog.1\.png"):
            load_test(folder(photos))
        assert cache_files(own_cache) == []


class TestCache:
    def test_a_second_time_nothing_is_decoded(self, photos: Path, decoded: list[int]) -> None:
        first, second = load_splits(folder(photos)), load_splits(folder(photos))
        assert decoded == [6, 18] or decoded == [18, 6]
        assert torch.equal(first.train.images, second.train.images)

    def test_a_changed_folder_is_decoded_again_and_its_old_state_removed(
        self, photos: Path, decoded: list[int], own_cache: Path
    ) -> None:
        load_test(folder(photos))
        file = photos / "test" / "cat" / "0.png"
        Image.new("RGB", (32, 32), "red").save(file)
        os.utime(file, ns=(1, 1))
        changed = load_test(folder(photos))
        assert decoded == [6, 6]
        assert changed.images[0, 0].min() == 255
        assert len(cache_files(own_cache)) == 1

    def test_a_renamed_file_is_noticed(self, photos: Path, decoded: list[int]) -> None:
        load_test(folder(photos))
        (photos / "test" / "cat" / "0.png").rename(photos / "test" / "cat" / "9.png")
        load_test(folder(photos))
        assert decoded == [6, 6]

    def test_another_size_has_its_own_file(self, photos: Path, decoded: list[int]) -> None:
        sizes = [load_test(folder(photos, image_size=size)).images.shape[-1] for size in (32, 16, 32, 16)]
        assert sizes == [32, 16, 32, 16]
        assert decoded == [6, 6]

    @pytest.mark.parametrize("damage", ["one byte", "half", "empty", "other"])
    def test_a_damaged_file_is_made_again(self, photos: Path, decoded: list[int], own_cache: Path, damage: str) -> None:
        before = load_test(folder(photos)).images.clone()
        (file,) = cache_files(own_cache)
        whole = bytearray(file.read_bytes())
        whole[len(whole) // 2] ^= 1
        damaged = {"one byte": bytes(whole), "half": bytes(whole[: len(whole) // 2]), "empty": b"", "other": b"x" * 999}
        file.write_bytes(damaged[damage])
        for _ in range(2):
            assert torch.equal(load_test(folder(photos)).images, before)
        assert decoded == [6, 6]

    def test_an_interrupted_writing_leaves_nothing_half_made(
        self, photos: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(file: object, **arrays: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(np, "savez", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_test(folder(photos))
        assert cache_files(own_cache) == []

    def test_a_place_that_cannot_be_written_only_costs_time(
        self, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "occupied").touch()
        assert len(load_test(folder(photos, cache_dir=str(tmp_path / "occupied")))) == 6
        assert "data.cache_dir" in caplog.text


class TestSynthetic:
    def test_the_seed_decides_the_images(self) -> None:
        first, again = load_test(synthetic(test_size=50)), load_test(synthetic(test_size=50))
        other = load_test(synthetic(test_size=50, split_seed=1))
        assert torch.equal(first.images, again.images)
        assert not torch.equal(first.images, other.images)

    def test_training_and_test_images_differ(self) -> None:
        splits = load_splits(synthetic(train_size=200, test_size=200))
        assert not contents(splits.test) & (contents(splits.train) | contents(splits.val))

    def test_a_larger_set_begins_with_the_smaller_one(self) -> None:
        small, large = load_test(synthetic(test_size=150)), load_test(synthetic(test_size=2500))
        assert torch.equal(small.images, large.images[:150])

    def test_classes_are_balanced_and_of_the_asked_size(self) -> None:
        data = load_test(synthetic(test_size=60, num_classes=6, image_size=16))
        assert data.images.shape == (60, 3, 16, 16)
        assert torch.bincount(data.labels).tolist() == [10] * 6

    def test_a_mean_colour_does_not_give_the_class_away(self) -> None:
        data = load_test(synthetic(test_size=1000))
        means = data.images.float().mean((2, 3))
        centres = torch.stack([means[data.labels == label].mean(0) for label in range(10)])
        guessed = torch.cdist(means, centres).argmin(1)
        assert (guessed == data.labels).float().mean() < 0.35

    def test_textures_can_be_learned(self) -> None:
        """The spectrum of an image, which no shift or mirror changes, tells its class."""
        train, _ = load_train_val(synthetic(train_size=3000))
        test = load_test(synthetic(test_size=500))

        def spectrum(data: ImageSet) -> torch.Tensor:
            grey = data.images.float().mean(1)
            power = torch.fft.rfft2(grey - grey.mean((1, 2), keepdim=True)).abs()[:, :9, :9]
            return torch.nn.functional.normalize(power.flatten(1))

        features = spectrum(train)
        centres = torch.stack([features[train.labels == label].mean(0) for label in range(10)])
        guessed = (spectrum(test) @ torch.nn.functional.normalize(centres).T).argmax(1)
        assert (guessed == test.labels).float().mean() > 0.8


@pytest.fixture
def tiny_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10's own files with 20 images a batch, and torchvision told their checksums; no network."""
    root = tmp_path / "torchvision"
    base = root / CIFAR10.base_folder
    base.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        batch = {"data": rng.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": [*range(10)] * 2}
        (base / name).write_bytes(pickle.dumps(batch))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class{label}" for label in range(10)]}))
    with tarfile.open(root / CIFAR10.filename, "w:gz") as archive:
        archive.add(base, CIFAR10.base_folder)

    def checked(name: str) -> list[str]:
        return [name, calculate_md5(base / name)]

    monkeypatch.setattr(CIFAR10, "train_list", [checked(f"data_batch_{number}") for number in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [checked("test_batch")])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": calculate_md5(base / "batches.meta")})
    monkeypatch.setattr(CIFAR10, "tgz_md5", calculate_md5(root / CIFAR10.filename))
    monkeypatch.setattr(CIFAR10, "url", (tmp_path / "nowhere.tar.gz").as_uri())
    return root


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """The files of a directory over HTTP, on this machine alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(directory))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class TestCifar:
    def test_the_arrays_are_used_as_they_are(self, tiny_cifar: Path) -> None:
        test = load_test(DataConfig(name="cifar10", root=str(tiny_cifar)))
        stored = pickle.loads((tiny_cifar / CIFAR10.base_folder / "test_batch").read_bytes())
        assert torch.equal(test.images.reshape(20, -1), torch.from_numpy(stored["data"]))
        assert test.labels.tolist() == stored["labels"]

    def test_all_five_batches_are_training_images(self, tiny_cifar: Path) -> None:
        splits = load_splits(DataConfig(name="cifar10", root=str(tiny_cifar)))
        assert (len(splits.train), len(splits.val)) == (90, 10)

    def test_an_archive_put_there_by_hand_is_enough(self, tiny_cifar: Path) -> None:
        shutil.rmtree(tiny_cifar / CIFAR10.base_folder)
        assert len(load_test(DataConfig(name="cifar10", root=str(tiny_cifar)))) == 20

    def test_the_first_use_downloads_and_keeps_stdout_clean(
        self, tiny_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with serving(tiny_cifar) as url:
            monkeypatch.setattr(CIFAR10, "url", f"{url}/{CIFAR10.filename}")
            assert len(load_test(DataConfig(name="cifar10", root=str(tmp_path / "new" / "place")))) == 20
        assert capfd.readouterr().out == ""

    def test_a_failed_download_reports_what_to_do(self, tmp_path: Path, tiny_cifar: Path) -> None:
        with pytest.raises(UserError) as caught:
            load_test(DataConfig(name="cifar10", root=str(tmp_path / "elsewhere")))
        text = str(caught.value)
        assert str(tmp_path / "elsewhere") in text
        assert "cifar-10-python.tar.gz" in text
        assert len(text.splitlines()) <= 12

    def test_a_file_that_fails_its_checksum_is_not_used(self, tiny_cifar: Path) -> None:
        (tiny_cifar / CIFAR10.filename).unlink()
        (tiny_cifar / CIFAR10.base_folder / "data_batch_3").write_bytes(b"other")
        with pytest.raises(UserError, match="could not be downloaded"):
            load_test(DataConfig(name="cifar10", root=str(tiny_cifar)))


def test_the_real_images_are_what_they_are_known_to_be(real_images: Path) -> None:
    splits = load_splits(folder(real_images, val_fraction=0.1))
    assert splits.train.class_names == describe.CIFAR10
    assert (len(splits.train), len(splits.val), len(splits.test)) == (1800, 200, 1000)
    mean = splits.train.images.double().mean((0, 2, 3))
    assert (mean - torch.tensor([125.3, 123.0, 113.9])).abs().max() < 5


def test_every_suffix_that_pillow_reads_is_an_image_and_what_is_not_read_is_reported(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cats = photos / "train" / "cat"
    for file in sorted(cats.iterdir())[1:]:
        Image.open(file).save(file.with_suffix(".jfif"), format="JPEG")
        file.unlink()
    (cats / "0.txt").touch()
    (cats / "loop").symlink_to("loop")
    (cats / "more").mkdir()
    (cats / ".hidden").touch()
    (photos / "train" / "notes.md").touch()
    train, val = load_train_val(folder(photos))
    assert int((train.labels == 0).sum() + (val.labels == 0).sum()) == 6
    assert f"'{photos / 'train'}' contains 4 entries that are not read" in caplog.text
    for reason in ("1 ending in .txt", "1 a broken link", "1 a directory", "1 outside of the class directories"):
        assert reason in caplog.text
