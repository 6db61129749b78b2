import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_exp.data.decode import decode_files, decode_image
from cifar_exp.errors import UserError

RED = torch.tensor([255, 0, 0], dtype=torch.uint8)
WHITE = torch.tensor([255, 255, 255], dtype=torch.uint8)


def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    decoded = decode_image(tmp_path / "a.png", 32)
    assert decoded.shape == (3, 32, 32)
    assert torch.equal(decoded, torch.from_numpy(pixels).permute(2, 0, 1))


def test_a_folder_and_a_single_photo_are_decoded_alike(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    file = str(tmp_path / "a.jpg")
    Image.fromarray(pixels).save(file)
    assert torch.equal(torch.from_numpy(decode_files([file], 16)[0]).permute(2, 0, 1), decode_image(file, 16))


def test_the_centred_square_of_a_wide_image_is_kept(tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 32), "blue")
    image.paste("red", (32, 0, 64, 32))
    image.save(tmp_path / "wide.png")
    assert (decode_image(tmp_path / "wide.png", 32) == RED.view(3, 1, 1)).all()


def grey() -> Image.Image:
    return Image.new("L", (8, 8), 200)


def deep_grey() -> Image.Image:
    return Image.fromarray(np.full((8, 8), 200 * 257, dtype=np.uint16))


@pytest.mark.parametrize(
    ("make", "suffix", "expected"),
    [
        (grey, ".png", (200, 200, 200)),
        (deep_grey, ".png", (200, 200, 200)),
        (lambda: Image.new("1", (8, 8), 1), ".png", (255, 255, 255)),
        (lambda: Image.new("RGBA", (8, 8), (0, 255, 0, 0)), ".png", (255, 255, 255)),
        (lambda: Image.new("RGBA", (8, 8), (0, 0, 0, 51)), ".png", (204, 204, 204)),
        (lambda: Image.new("LA", (8, 8), (0, 0)), ".png", (255, 255, 255)),
        (lambda: Image.new("RGB", (8, 8), "red").convert("P"), ".gif", (255, 0, 0)),
        (lambda: Image.new("CMYK", (8, 8), (0, 0, 0, 255)), ".tif", (0, 0, 0)),
    ],
    ids=["grey", "16-bit", "bilevel", "transparent", "translucent", "grey-alpha", "palette", "cmyk"],
)
def test_odd_formats_become_rgb_on_white(
    tmp_path: Path, make: Callable[[], Image.Image], suffix: str, expected: tuple[int, int, int]
) -> None:
    file = tmp_path / f"odd{suffix}"
    make().save(file)
    pixels = decode_image(file, 8)
    assert (pixels.int() - torch.tensor(expected).view(3, 1, 1)).abs().max() <= 1


def test_a_transparent_palette_colour_becomes_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), "red").convert("P")
    image.save(tmp_path / "a.png", transparency=image.getpixel((0, 0)))
    assert (decode_image(tmp_path / "a.png", 8) == WHITE.view(3, 1, 1)).all()


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), "blue")
    image.paste("red", (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    image.save(tmp_path / "a.png", exif=exif)
    pixels = decode_image(tmp_path / "a.png", 8)
    assert torch.equal(pixels[:, 0, 0], torch.tensor([0, 0, 255], dtype=torch.uint8))
    assert torch.equal(pixels[:, 7, 0], RED)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no image file '.*gone\.png'"):
        decode_image(tmp_path / "gone.png", 32)


@pytest.mark.parametrize("keep", [0, 10, 200], ids=["empty", "header", "half"])
def test_a_broken_image_is_named(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "broken.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"broken\.jpg"):
        decode_image(file, 32)


def test_pixels_without_a_range_are_refused(tmp_path: Path) -> None:
    Image.new("F", (8, 8), 0.5).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif.*floating-point"):
        decode_image(tmp_path / "a.tif", 8)


def test_large_files_are_decoded_in_order_by_many_threads(tmp_path: Path) -> None:
    files = []
    for number in range(130):
        files.append(str(tmp_path / f"{number}.bmp"))
        Image.new("RGB", (100, 100), (number, 0, 0)).save(files[-1])
    assert decode_files(files, 8)[:, 0, 0, 0].tolist() == list(range(130))


def test_broken_exif_does_not_cost_an_image_with_good_pixels(tmp_path: Path) -> None:
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    for suffix, exif in ((".png", b"no TIFF header"), (".jpg", b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff")):
        Image.fromarray(pixels).save(tmp_path / f"good{suffix}")
        Image.fromarray(pixels).save(tmp_path / f"bad{suffix}", exif=exif)
        good, bad = (decode_image(tmp_path / f"{name}{suffix}", 8) for name in ("good", "bad"))
        assert good.equal(bad)


def test_a_large_image_is_decoded_without_a_warning_of_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_image(tmp_path / "large.png", 8)[0].eq(255).all()
        assert decode_files([str(tmp_path / "large.png")], 8)[..., 0].min() == 255
