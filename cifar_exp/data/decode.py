"""From an image file to pixels, in the one way that training and `predict` share.

An image is turned upright by its EXIF orientation; transparent parts become white; grey, palette, CMYK
and 16-bit images become 8-bit RGB; the first frame of an animation is used. The largest centred square is
cropped and resized, antialiased. An image that has the right size already keeps its pixels.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.progress import Progress
from torch import Tensor

from cifar_exp.console import Console
from cifar_exp.errors import UserError

Picture = str | os.PathLike[str] | Image.Image | np.ndarray  # a file, an image, or uint8 pixels (H, W, 3) or (H, W)

FILES_PER_TASK = 64
FILES_WORTH_A_BAR = 2000
# Smaller files spend most of their time under the interpreter lock: two threads took 175 µs for each of
# CIFAR's JPEGs, one took 140 µs
BYTES_WORTH_THREADS = 20_000
FILES_SAMPLED = 50


def decode_image(image: Picture, image_size: int) -> Tensor:
    """Return the pixels of an image: uint8 (3, image_size, image_size), RGB, 0–255.

    Args:
        image: the path of a file, a PIL image, or an array of uint8 (H, W, 3), (H, W, 4) or (H, W).
        image_size: the side of the result.

    Raises:
        UserError: the file is missing, is not an image, or is damaged; an array of another type or shape.
    """
    with without_pillow_warnings():
        if isinstance(image, str | os.PathLike):
            pixels = _decode(os.fspath(image), image_size)
        else:
            pixels = _square(image if isinstance(image, Image.Image) else _from_array(image), image_size)
    return torch.tensor(pixels).permute(2, 0, 1).contiguous()


def _from_array(array: np.ndarray) -> Image.Image:
    pixels = np.asarray(array)  # a tensor may be given too
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise UserError(f"expected an image as uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}.")
    return Image.fromarray(pixels)


def decode_files(files: Sequence[str], image_size: int) -> np.ndarray:
    """Return the pixels of many files: uint8 (N, image_size, image_size, 3). Raises as `decode_image`.

    Larger files are decoded by several threads; a progress bar on stderr appears where it takes long.
    """
    pixels_NHWC = np.empty((len(files), image_size, image_size, 3), dtype=np.uint8)  # noqa: N806

    def decode_some(start: int) -> int:
        some = files[start : start + FILES_PER_TASK]
        for offset, file in enumerate(some):
            pixels_NHWC[start + offset] = _decode(file, image_size)
        return len(some)

    console = Console(stderr=True)
    quiet = len(files) < FILES_WORTH_A_BAR or not console.is_screen
    with (
        without_pillow_warnings(),
        Progress(console=console, transient=True, disable=quiet) as progress,
        ThreadPoolExecutor(_threads_for(files)) as pool,
    ):
        bar = progress.add_task("decoding images", total=len(files))
        try:
            for done in pool.map(decode_some, range(0, len(files), FILES_PER_TASK)):
                progress.advance(bar, done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return pixels_NHWC


def _threads_for(files: Sequence[str]) -> int:
    sampled = files[:: len(files) // FILES_SAMPLED + 1]
    mean_size = sum(os.path.getsize(file) for file in sampled) / max(len(sampled), 1)
    return os.cpu_count() or 1 if mean_size > BYTES_WORTH_THREADS else 1


def _decode(path: str, image_size: int) -> np.ndarray:
    try:
        with Image.open(path) as image:
            image.draft(None, (2 * image_size, 2 * image_size))  # a large JPEG is decoded at reduced size
            return _square(image, image_size)
    except FileNotFoundError as error:
        raise UserError(f"there is no image file '{path}'.") from error
    except Exception as error:  # PIL's many formats fail in many ways
        reason = "not an image in a known format" if isinstance(error, Image.UnidentifiedImageError) else error
        raise UserError(f"cannot read the image '{path}': {reason}.") from error


def _square(image: Image.Image, image_size: int) -> np.ndarray:
    return np.asarray(ImageOps.fit(to_rgb(upright(image)), (image_size, image_size), Image.Resampling.BILINEAR))


def upright(image: Image.Image) -> Image.Image:
    """Return `image` turned as its EXIF orientation requires; as it is where its EXIF data cannot be read."""
    image.load()  # broken pixels are an error; what fails after this line is the metadata
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # every tag has its own way to be broken
        return image


@contextmanager
def without_pillow_warnings() -> Iterator[None]:
    """Silence Pillow's warnings, about large images and damaged metadata, which name neither the file nor a remedy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield


def to_rgb(image: Image.Image) -> Image.Image:
    """Return `image` as 8-bit RGB; raises ValueError for floating-point pixels."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", opaque.size, "white")
        return Image.alpha_composite(white, opaque).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    # convert("RGB") would clip all values above 255 to white
    levels = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
