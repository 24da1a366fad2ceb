"""Gates that need no injected star: pure noise in, a shifted grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rimaging.validate.gate import Gate, judged

THRESHOLD = 3.5
"""Of false sources, in units of the noise of the flux of a point source."""

OFFSET = 0.01
SAME = 1e-5


def pure_noise(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    profiles: tuple[Tensor, Tensor],
    unit: float,
    sigma: float,
    margin: int,
) -> Gate:
    """Gate 7: of pure noise, the sources in the output beside those in the input; the offset.

    A source is a local maximum of the best-fitting flux of a point, above 3.5 times what the noise
    of the data gives to such a flux (``unit``). outputs, inputs: minus the sky. profiles: how a
    point looks in the output, and in the input.
    """
    found, there = (
        sum(peaks(image, profile, THRESHOLD * unit, margin) for image in images)
        for images, profile in zip((outputs, inputs), profiles, strict=True)
    )
    offset = sum(float(x.mean() - y.mean()) for x, y in zip(outputs, inputs, strict=True))
    offset /= len(outputs) * sigma
    allowed = there + 3 * math.sqrt(there + 1)
    return Gate(
        number=7,
        name="pure noise in",
        outcome=judged(found <= allowed and abs(offset) < OFFSET),
        finding=(
            f"{found} sources above {THRESHOLD} sigma in the output, {there} in the noise itself; "
            f"offset {offset:+.2%} of sigma"
        ),
        asked=f"no more than the noise has (3 standard errors granted), offset below {OFFSET:.0%}",
        numbers={"output": float(found), "input": float(there), "offset": offset},
    )


def peaks(image: Tensor, profile: Tensor, threshold: float, margin: int) -> int:
    """Local maxima above a threshold of the flux of a point fitted at each pixel."""
    kernel = profile.double()[None, None]
    padding = (kernel.shape[-2] // 2, kernel.shape[-1] // 2)
    flux = torch.nn.functional.conv2d(image.double()[None, None], kernel, padding=padding)
    flux = flux / kernel.square().sum()
    top = flux == torch.nn.functional.max_pool2d(flux, 3, stride=1, padding=1)
    inner = (top & (flux > threshold))[0, 0, margin:-margin, margin:-margin]
    return int(inner.sum())


def shifted_grid(
    whole: Tensor, cut: Tensor, offset: tuple[int, int], level: float, sigma: float, margin: int
) -> Gate:
    """Gate 10: the image without its first rows and columns, far from the cut.

    whole and cut: answers on the same sky, ``cut`` begins at ``offset`` of ``whole``.
    """
    rows, columns = cut.shape
    same = whole[offset[0] : offset[0] + rows, offset[1] : offset[1] + columns]
    inner = (slice(margin, rows - margin), slice(margin, columns - margin))
    difference = float((same - cut)[inner].abs().max())
    peak = float((same[inner] - level).abs().max())
    relative = difference / peak if peak > 0 else math.inf
    limit = SAME * peak + 1e-3 * sigma
    return Gate(
        number=10,
        name="same sky on a shifted grid",
        outcome=judged(difference <= limit),
        finding=(
            f"moved by {offset[0]}, {offset[1]} px, {margin} px from the cut: at most "
            f"{difference / sigma:.2g} sigma, {relative:.1e} of the brightest pixel"
        ),
        asked=f"{SAME:.0e} of the brightest pixel (and a thousandth of sigma for rounding)",
        numbers={"sigma": difference / sigma, "relative": relative},
    )
