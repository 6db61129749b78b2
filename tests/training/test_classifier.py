"""A classifier normalises raw pixels, however they lie in memory."""

import pytest
import torch
from torch import Tensor, nn

from cifar_exp.inference.classifier import Classifier


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pixels_are_normalised_channel_by_channel(memory_format: torch.memory_format, dtype: torch.dtype) -> None:
    mean, std = torch.tensor([120.0, 115.5, 110.0]), torch.tensor([60.0, 61.25, 62.0])
    pixels = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8).to(dtype).contiguous(memory_format=memory_format)
    normalised: Tensor = Classifier(nn.Identity(), mean, std)(pixels)
    assert torch.equal(normalised, (pixels.float() - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    assert normalised.is_contiguous(memory_format=memory_format)
