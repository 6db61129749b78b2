"""The identity of a run's images: one hash of their decoded pixels and labels."""

import hashlib

from torch import Tensor

from cifar_exp.data.images import ImageSet


def fingerprint(*parts: ImageSet) -> str:
    """Return the SHA-256 of the decoded images of a run, as 64 hexadecimal digits.

    It depends on nothing but pixels, labels and their order: not on file names, paths, times, the device or the cache.

    Args:
        parts: the training, validation and test images, in this order.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{tuple(part.pixels_NHWC.shape)} {part.pixels_NHWC.dtype}\n".encode())
        for values in (part.pixels_NHWC, part.labels):
            digest.update(_bytes(values))
    return digest.hexdigest()


def _bytes(values: Tensor) -> memoryview:
    return values.detach().cpu().contiguous().numpy().data.cast("B")
