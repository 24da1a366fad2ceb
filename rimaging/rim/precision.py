"""In which precision the network runs: bfloat16 where there are matrix units for it.

Only ever the network: scores, Fourier transforms and solves stay in float32.
"""

from __future__ import annotations

import torch


def network_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 on a GPU or a CPU that computes in it (AMX, AVX512-BF16); None: as the weights."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    if device.type == "cpu":
        return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else None
    return None
