"""Augmentation of whole batches, on the device they are on: raw uint8 pixels in, uint8 pixels out.

Every function takes its random numbers as tensors, one per image (see `draws`), so that it is itself
deterministic, moves nothing between host and device, and costs a few kernels whatever the batch.

Shapes: B images, H height, W width, C channels, K classes. BHWC is contiguous, which is what PyTorch calls
channels_last once seen as BCHW.
"""
# ruff: noqa: N803, N806

import torch
from torch import Tensor
from torch.nn import functional as F

from cifar_exp.data.draws import Draws


def augment(
    images_BHWC: Tensor, labels_B: Tensor, draws: Draws, num_classes: int, fill_C: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a batch after everything that was drawn, one after the other.

    Args:
        images_BHWC: uint8.
        labels_B: int64.
        draws: the random numbers for these B images; what is None there is left out.
        num_classes: K.
        fill_C: uint8, the colour of cutout's square.

    Returns:
        Images uint8 (B, H, W, C), and targets: the labels, or float probabilities (B, K) after mixing.
        The partner that an image is mixed with is the one before it; the order is random anyway.
    """
    images = images_BHWC
    if draws.shift is not None:
        images = crop(images, draws.shift, draws.padding)
    if draws.mirrored is not None:
        images = flip(images, draws.mirrored)
    if draws.degrees is not None:
        images = rotate(images, draws.degrees)
    if draws.hole is not None:
        images = cutout(images, draws.hole, fill_C)
    if draws.fraction is None:
        return images, labels_B
    partners, fraction = images.roll(1, 0), draws.fraction
    if draws.blends:
        images = mixup(images, partners, fraction)
    if draws.box is not None:
        images = cutmix(images, partners, draws.box)
        fraction = fraction * kept_area(draws.box, images)
    return images, mix_labels(labels_B, fraction, num_classes)


def crop(images_BHWC: Tensor, shift_B2: Tensor, padding: int) -> Tensor:
    """Return windows of the images' own size out of the images with `padding` black pixels on each side.

    `shift_B2` (int64, 0 to 2·padding) is each window's top and left; (padding, padding) is the image itself.
    Random crops of CIFAR: He et al., "Deep Residual Learning" (2015), section 4.2.
    """
    B, H, W, _ = images_BHWC.shape
    padded = F.pad(images_BHWC, (0, 0, padding, padding, padding, padding))
    windows_BTLHWC = padded.unfold(1, H, 1).unfold(2, W, 1).permute(0, 1, 2, 4, 5, 3)  # a view: top, left
    return windows_BTLHWC[torch.arange(B, device=padded.device), shift_B2[:, 0], shift_B2[:, 1]]


def flip(images_BHWC: Tensor, mirrored_B: Tensor) -> Tensor:
    """Return the images, left and right exchanged where `mirrored_B` (int64) is 1; He et al. (2015), section 4.2."""
    B = len(images_BHWC)
    # Twice as fast as torch.where, and no wait for the device as with a boolean index
    both = torch.cat((images_BHWC, images_BHWC.flip(2)))
    return both.index_select(0, torch.arange(B, device=both.device) + B * mirrored_B)


def rotate(images_BHWC: Tensor, degrees_B: Tensor) -> Tensor:
    """Return the images rotated counter-clockwise by `degrees_B` (float) about the centre, bilinear, filled with black.

    As in Simard et al., "Best Practices for Convolutional Neural Networks" (2003), section 2.
    """
    angle = torch.deg2rad(degrees_B)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    theta_B23 = torch.stack((cos, -sin, zero, sin, cos, zero), dim=1).view(-1, 2, 3)
    images_BCHW = images_BHWC.permute(0, 3, 1, 2)
    grid = F.affine_grid(theta_B23, list(images_BCHW.shape), align_corners=False)
    turned_BCHW = F.grid_sample(images_BCHW.float(), grid, align_corners=False)
    return _to_pixels(turned_BCHW.permute(0, 2, 3, 1))


def cutout(images_BHWC: Tensor, hole_B4: Tensor, fill_C: Tensor) -> Tensor:
    """Return the images with `fill_C` inside the box `hole_B4` (int64: top, bottom, left, right).

    DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017): a
    square around any pixel, so it may reach over the edge; 0 after normalising is the mean colour here.
    """
    return _where_inside(hole_B4, fill_C.expand(1, 1, 1, -1), images_BHWC)


def mixup(images_BHWC: Tensor, partners_BHWC: Tensor, fraction_B: Tensor) -> Tensor:
    """Return each image times `fraction_B` (float, 0 to 1) plus its partner times the rest.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2017), with a fraction for each image.
    """
    return _to_pixels(partners_BHWC.float().lerp_(images_BHWC.float(), fraction_B.view(-1, 1, 1, 1)))


def cutmix(images_BHWC: Tensor, partners_BHWC: Tensor, box_B4: Tensor) -> Tensor:
    """Return the images with the box `box_B4` (int64: top, bottom, left, right) of each taken from its partner.

    Yun et al., "CutMix" (2019), with a box for each image.
    """
    return _where_inside(box_B4, partners_BHWC, images_BHWC)


def kept_area(box_B4: Tensor, images_BHWC: Tensor) -> Tensor:
    """Return the fraction of each image outside of its box: float (B,)."""
    top, bottom, left, right = box_B4.unbind(1)
    area = images_BHWC.shape[1] * images_BHWC.shape[2]
    return 1 - ((bottom - top) * (right - left)).float() / area


def mix_labels(labels_B: Tensor, fraction_B: Tensor, num_classes: int) -> Tensor:
    """Return probabilities float (B, K): `fraction_B` for an image's own label, the rest for its partner's."""
    own_BK = torch.zeros(len(labels_B), num_classes, dtype=torch.float32, device=labels_B.device).scatter_(
        1, labels_B[:, None], 1.0
    )
    return torch.lerp(own_BK.roll(1, 0), own_BK, fraction_B[:, None])


def _where_inside(box_B4: Tensor, inside_BHWC: Tensor, outside_BHWC: Tensor) -> Tensor:
    """Return `inside_BHWC` (it may be broadcast) in the boxes (top, bottom, left, right), and `outside_BHWC` elsewhere.

    Bytes are chosen by masks of 0 and 255, which PyTorch vectorises on CPUs: eight times faster than torch.where.
    """
    B, H, W, C = outside_BHWC.shape
    top, bottom, left, right = (edge[:, None] for edge in box_B4.unbind(1))
    y = torch.arange(H, device=box_B4.device)
    x = torch.arange(W * C, device=box_B4.device).div(C, rounding_mode="floor")
    rows_BH = ((y >= top) & (y < bottom)).to(torch.uint8).neg()
    columns_BX = ((x >= left) & (x < right)).to(torch.uint8).neg()
    mask_BHX = rows_BH[:, :, None] & columns_BX[:, None, :]
    inside_BHX = inside_BHWC.expand(-1, H, W, C).reshape(-1, H, W * C)
    outside_BHX = outside_BHWC.reshape(B, H, W * C)
    return (outside_BHX ^ inside_BHX).bitwise_and_(mask_BHX).bitwise_xor_(outside_BHX).view(B, H, W, C)


def _to_pixels(values: Tensor) -> Tensor:
    return values.round_().to(torch.uint8, memory_format=torch.contiguous_format)
