"""The hash of a run's images: the same for the same pixels and labels, whatever held them."""

import torch

from cifar_exp.data.images import ImageSet, fingerprint


def images(seed: int = 0, count: int = 6) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 8, 8, 3), dtype=torch.uint8, generator=generator)
    return ImageSet.from_pixels(pixels, torch.arange(count) % 2, ("a", "b"))


def test_equal_images_have_equal_hashes_however_they_lie_in_memory() -> None:
    own = images()
    elsewhere = ImageSet(own.images.contiguous(), own.labels.clone(), ("c", "d"))
    assert fingerprint(own, images(1)) == fingerprint(elsewhere, images(1))
    assert len(fingerprint(own)) == 64


def test_one_pixel_one_label_or_one_exchange_changes_the_hash() -> None:
    own, other = images(), images(1)
    pixel = ImageSet(own.images.clone(), own.labels, own.class_names)
    pixel.images[0, 0, 0, 0] ^= 1
    label = ImageSet(own.images, own.labels.flip(0), own.class_names)
    hashes = [fingerprint(*parts) for parts in ((own, other), (other, own), (pixel, other), (label, other), (own,))]
    assert len(set(hashes)) == len(hashes)
