from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_exp.data.images import ImageSet

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own cache."""
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(directory))
    return directory / "cifar-exp"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 3 classes with 6 training and 2 test images each."""
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture
def numbered() -> Callable[..., ImageSet]:
    """Makes images whose every pixel spells their number, so that one can tell which came out."""

    def make(count: int, side: int = 8, classes: int = 3) -> ImageSet:
        number = torch.arange(count)
        colour = torch.stack((number // 256, number % 256, torch.full_like(number, 255)), dim=1).to(torch.uint8)
        pixels = colour[:, None, None, :].expand(count, side, side, 3).contiguous()
        return ImageSet.from_pixels(pixels, number % classes, CLASSES[:classes])

    return make
