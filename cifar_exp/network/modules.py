"""The modules behind the operations, where torch has none of its own. Images are (batch, channels, height, width)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar_exp.network.ops import Conv


def same_conv(op: Conv) -> nn.Module:
    """Return a convolution that keeps the map at ceil(size / stride), He-initialised (arXiv:1502.01852, §2.2)."""
    in_channels, reach = op.in_shape[0], op.dilation * (op.kernel_size - 1)
    kind: type[nn.Conv2d] = DepthwiseConv if 1 < op.groups == in_channels else nn.Conv2d
    if op.kernel_size == 1 < op.stride and op.groups == 1 and in_channels < 8:
        kind = StridedPointwise
    conv = kind(in_channels, op.channels, op.kernel_size, op.stride, reach // 2, op.dilation, op.groups, bias=op.bias)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    if reach % 2 == 0:
        return conv
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv)  # an even kernel reaches one pixel further on one side


class DepthwiseConv(nn.Conv2d):
    """A convolution per channel, on processors always in float32: in bfloat16 it is several times slower there."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W'); float32 too where autocast on a processor asks for bfloat16."""
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class StridedPointwise(nn.Conv2d):
    """A 1×1 convolution of every `stride`-th pixel, which are taken first.

    With fewer than eight input channels, torch 2.15 ends the process in the backward pass of the strided convolution
    on processors without AVX-512 (oneDNN, channels last): segmentation fault.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        rows, columns = self.stride
        return F.conv2d(x[:, :, ::rows, ::columns], self.weight, self.bias)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels at each pixel (ConvNeXt, arXiv:2201.03545, §2.6)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) or (B, C), the shape is kept."""
        if x.dim() == 2:
            return super().forward(x)
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LayerScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, channels: int, initial: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), initial))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …), the shape is kept."""
        return x * self.scale.view(-1, *[1] * (x.dim() - 2))


class SplitChannels(nn.Module):
    """Run each part on its own channels and join the results."""

    def __init__(self, splits: Sequence[int], parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.splits = list(splits)
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """(B, sum of splits, H, W) to (B, channels, H', W')."""
        pieces = x.split(self.splits, dim=1)
        return torch.cat([part(piece) for part, piece in zip(self.parts, pieces, strict=True)], dim=1)


class PadShortcut(nn.Module):
    """Every `stride`-th pixel, and zero channels at the end."""

    def __init__(self, stride: int, new_channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = new_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C + new_channels, ceil(H / stride), ceil(W / stride))."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))
