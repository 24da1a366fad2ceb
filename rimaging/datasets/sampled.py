"""Where k-space was measured, told from its zeros."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["find_sampled"]


def find_sampled(kspace: Tensor, mask: Tensor | None) -> tuple[Tensor, list[str]]:
    """Find the mask (..., y, x) of k-space, or take padding out of a given one: ``(mask, notes)``.

    A sample was measured where any coil is not zero. Whole rows and columns of zeros are padding;
    other zeros, when under 2 % of all, are values of a coarse converter.
    """
    zero = (kspace == 0).all(dim=-3)
    padding = zero.all(dim=-1, keepdim=True) | zero.all(dim=-2, keepdim=True)
    if mask is not None:
        padded = (mask > 0) & padding
        if not bool(padded.any()):
            return mask, []
        share = float(padded.to(torch.float32).mean())
        note = f"{share:.1%} of k-space are lines of zeros in every coil: taken as not measured"
        return mask * ~padding, [note]
    scattered = zero & ~padding
    # sampling patterns leave out far more than this
    if float(scattered.to(torch.float32).mean()) < 0.02:
        zero = padding.expand(zero.shape)
    mask = (~zero).to(torch.float32)
    return mask, [f"mask found from the zeros of k-space ({float(mask.mean()):.1%} sampled)"]
