"""The device of an accelerator's name, and the precision in which it trains fastest."""

import torch


def chosen_device(accelerator: str) -> torch.device:
    """Return the device of Lightning's accelerator name; `auto` is the best there is."""
    if accelerator in ("auto", "gpu"):
        best = torch.accelerator.current_accelerator(check_available=True)
        return best or torch.device("cpu")
    return torch.device(accelerator)


def fastest_precision(accelerator: str) -> str:
    """`bf16-mixed` on a device with instructions for bfloat16 (of processors: AVX-512 BF16, AMX), else `32-true`."""
    kind = "tpu" if accelerator == "tpu" else chosen_device(accelerator).type
    if kind == "cuda":
        is_faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known = torch.cpu.get_capabilities() if kind == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
        is_faster = known.get("avx512_bf16", False) or known.get("amx_bf16", False)
    return "bf16-mixed" if is_faster else "32-true"
