"""Images made from a seed: nothing to download, something to learn.

A class is a texture: a plaid of waves along x and y whose direction, fineness and hue belong to the
class. Place, phase, strength, background and noise are drawn for each image, so a class cannot be recognised
by single pixels or by the mean colour, and a mirrored image stays in its class.
"""

import colorsys
import math

import numpy as np
import torch
from torch import Tensor

IMAGES_AT_ONCE = 2000
# Roberts (2018): multiples of these, modulo 1, spread evenly over the unit cube
R3_STEPS = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)
CYCLES = (1.0, 4.0)  # across the image, of the coarsest and the finest class
CONTRAST = (90.0, 130.0)
BACKGROUND = (95.0, 160.0)
NOISE = 32  # width of the uniform noise
HUE_JITTER = 0.12


def make_images(count: int, num_classes: int, image_size: int, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return balanced images uint8 (count, image_size, image_size, 3) and labels int64 (count,).

    The first images of a larger set are those of a smaller one with the same seed.
    """
    labels = torch.arange(count) % num_classes
    pixels_NHWC = torch.empty((count, image_size, image_size, 3), dtype=torch.uint8)  # noqa: N806
    for number, start in enumerate(range(0, count, IMAGES_AT_ONCE)):
        stop = min(start + IMAGES_AT_ONCE, count)
        rng = np.random.default_rng((*seed, number))
        _paint(pixels_NHWC[start:stop], labels[start:stop], num_classes, rng)
    return pixels_NHWC.numpy(), labels.numpy()


def _paint(out_BHWC: Tensor, labels_B: Tensor, num_classes: int, rng: np.random.Generator) -> None:  # noqa: N803
    """Fill `out_BHWC` with one image per label; B images at once."""
    side = out_BHWC.shape[1]
    # All numbers of a full chunk are drawn, so that the first images do not depend on how many follow
    draws = torch.from_numpy(rng.random((IMAGES_AT_ONCE, 9), dtype=np.float32))[: len(labels_B)]
    waves_x, waves_y, colours = (table[labels_B] for table in _classes(num_classes))
    along_x = _wave(side, waves_x, phase=draws[:, 0], centre=draws[:, 1])
    along_y = _wave(side, waves_y, phase=draws[:, 2], centre=draws[:, 3])
    plaid_BHW1 = (along_y[:, :, None] * along_x[:, None, :])[..., None]  # noqa: N806
    strength = torch.lerp(torch.tensor(CONTRAST[0]), torch.tensor(CONTRAST[1]), draws[:, 4:5])
    tint = strength * (colours + HUE_JITTER * (draws[:, 5:8] - 0.5))
    base = BACKGROUND[0] + (BACKGROUND[1] - BACKGROUND[0]) * draws[:, 5:8] - NOISE / 2
    noise = torch.frombuffer(bytearray(rng.bytes(out_BHWC.numel())), dtype=torch.uint8).view(out_BHWC.shape)
    image = torch.addcmul(base[:, None, None, :], plaid_BHW1, tint[:, None, None, :])
    out_BHWC.copy_(image.add_(noise, alpha=NOISE / 255).clamp_(0, 255))


def _wave(side: int, cycles_B: Tensor, phase: Tensor, centre: Tensor) -> Tensor:  # noqa: N803
    """Return (B, side): a cosine of so many cycles across the image, fading away from a random centre."""
    position = torch.linspace(0, 1, side)
    distance = (position - (0.2 + 0.6 * centre[:, None])) / 0.5
    return torch.cos(2 * math.pi * (cycles_B[:, None] * position + phase[:, None])) * torch.exp(-distance.square())


def _classes(num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each class, the cycles along x and along y, and the colour (centred on 0) of its texture."""
    spread = (0.5 + torch.arange(num_classes, dtype=torch.float64)[:, None] * torch.tensor(R3_STEPS)) % 1
    direction = spread[:, 0] * math.pi / 2
    cycles = CYCLES[0] * (CYCLES[1] / CYCLES[0]) ** spread[:, 1]
    colours = torch.tensor([colorsys.hsv_to_rgb(hue, 0.6, 1.0) for hue in spread[:, 2].tolist()]) - 0.3
    return (cycles * direction.cos()).float(), (cycles * direction.sin()).float(), colours.float()
