"""Dropout whose masks take one random byte per element, not one float."""

import torch
from torch import Tensor, nn


class ByteDropout(nn.Module):
    """Dropout (Srivastava et al. 2014) with cheap masks: eight elements from each 64 random bits on a CPU.

    A byte can only express multiples of 1/256, so the threshold of each call is one of the two bytes beside
    256 · `rate`, chosen at random such that every element is dropped with probability `rate` exactly. On other
    devices torch's own fused kernel is used.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, which is kept; what remains is scaled by 1 / (1 - rate)."""
        if not self.training or self.rate == 0.0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.rate)
        if torch.compiler.is_compiling():
            return x * compiled_keep_mask(x.detach(), self.rate)
        return x * keep_mask(x, self.rate)


def keep_mask(x: Tensor, rate: float) -> Tensor:
    """Return a mask of `x`'s shape, layout and type: 0 with probability `rate`, else 1 / (1 - rate)."""
    low, fraction = divmod(256.0 * rate, 1.0)
    threshold = int(low) + int(torch.rand(()).item() < fraction)
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64)
    words.random_(-(2**63), None)  # the whole range, so that all eight bytes of each word are uniform
    kept = torch.empty(x.numel(), dtype=x.dtype)  # 0 or 1, compared straight into x's type: a mask of bool is slow
    torch.ge(words.view(torch.uint8)[: x.numel()], threshold, out=kept)
    scaled = kept.mul_(1.0 / (1.0 - rate))
    return scaled.as_strided(x.shape, x.stride()) if _is_dense(x) else scaled.view(x.shape)


@torch.library.custom_op("cifar_exp::keep_mask", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def compiled_keep_mask(x: Tensor, rate: float) -> Tensor:
    """`keep_mask` as one operator, which torch.compile calls as it is: its own generator is slower than a step."""
    return keep_mask(x, rate)


@compiled_keep_mask.register_fake
def _shaped_mask(x: Tensor, rate: float) -> Tensor:
    return torch.empty_like(x) if _is_dense(x) else x.new_empty(x.shape)


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
