"""Richardson-Lucy deconvolution with honest edges, weights and a background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.convolution import Boundary, Convolution

# Pixels seen with less than this share of the best sensitivity keep their value: in float32 the
# rounding of an FFT is no longer small beside them, and nothing measured depends on them.
_BLIND = 1e-4


def richardson_lucy(
    image: Tensor,
    psf: Tensor,
    *,
    iterations: int,
    background: float | Tensor = 0.0,
    weight: Tensor | None = None,
    boundary: Boundary = "valid",
) -> Tensor:
    """Deconvolve by ``x <- x A*(w y / (A x + b)) / A* w``, from a flat start.

    The iterations climb the Poisson likelihood of ``y ~ Poisson(A x + b)`` and keep ``x >= 0``.
    The noise grows with them, so the count is the regularisation: the best one depends on the
    signal-to-noise ratio; see `richardson_lucy_snapshots`.

    Args:
        image: real ``(..., y, x)``, the background included; below zero counts as zero.
        psf: real ``(..., v, u)``, odd sizes, one or one per item; usually of unit sum.
        iterations: steps to take, 1 or more.
        background: ``b >= 0``, mean level of sky and dark, broadcastable to ``image``.
        weight: ``w >= 0``, 0 where a pixel is bad or saturated (its value may then be NaN),
            broadcastable to ``image``.
        boundary: what lies outside the image, see `Convolution`; ``"valid"``: an unknown sky,
            estimated along and cut off at the end.

    Returns:
        The estimate, of the shape of ``image``.

    Raises:
        ShapeError: a PSF of even size, arrays that do not fit.
        DataError: NaN in pixels that have weight, a negative background or weight, nothing
            measured.
        OptionError: fewer than one iteration, an unknown boundary.

    Source: Richardson (1972), J. Opt. Soc. Am. 62, 55; Lucy (1974), Astron. J. 79, 745.
    """
    counts = (iterations,)
    return richardson_lucy_snapshots(
        image, psf, counts, background=background, weight=weight, boundary=boundary
    )[0]


def richardson_lucy_snapshots(
    image: Tensor,
    psf: Tensor,
    counts: Sequence[int],
    *,
    background: float | Tensor = 0.0,
    weight: Tensor | None = None,
    boundary: Boundary = "valid",
) -> Tensor:
    """The estimates after each number of iterations in ``counts``, ``(count, ..., y, x)``.

    Arguments and errors as for `richardson_lucy`; ``counts`` rise, and one run serves all.
    """
    whole = all(isinstance(count, Integral) for count in counts)  # no other is ever reached
    if not whole or not counts or counts[0] < 1 or any(b <= a for a, b in pairwise(counts)):
        raise OptionError(
            f"richardson_lucy got counts {list(counts)}: give rising whole numbers from 1 on"
        )
    operator = Convolution(psf, image.shape[-2:], boundary).to(image.device)
    margin = operator.radius if boundary == "valid" else (0, 0)
    wanted = set(counts)
    kept = []
    for count, x in enumerate(_iterate(operator, image, background, weight), start=1):
        if count in wanted:
            kept.append(x[..., margin[0] :, margin[1] :][..., : image.shape[-2], : image.shape[-1]])
        if count == counts[-1]:
            break
    return torch.stack(kept)


def _iterate(
    operator: Convolution, image: Tensor, background: float | Tensor, weight: Tensor | None
) -> Iterator[Tensor]:
    b = torch.as_tensor(background, dtype=image.dtype, device=image.device)
    w = torch.ones_like(image) if weight is None else weight.to(image.dtype).expand_as(image)
    if bool((b < 0).any()) or bool((w < 0).any()):
        raise DataError("richardson_lucy got a negative background or weight: both must be >= 0")
    y = torch.where(w > 0, image, 0)
    if not bool(torch.isfinite(y).all()):
        raise DataError("richardson_lucy got NaN or infinity in the image: set weight 0 there")
    y = y.clamp_min(0)

    sensitivity = operator.adjoint(w)
    best = sensitivity.amax(dim=(-2, -1), keepdim=True)
    if not bool((best > 0).all()):
        raise DataError("richardson_lucy got an image without weight: nothing was measured")
    seen = sensitivity > _BLIND * best
    # Against a rate that rounding made zero or negative, far below anything measured.
    floor = torch.finfo(image.dtype).eps * y.amax(dim=(-2, -1), keepdim=True).clamp_min(
        torch.finfo(image.dtype).tiny / torch.finfo(image.dtype).eps
    )
    total = (w * (y - b)).sum(dim=(-2, -1), keepdim=True)
    level = total / sensitivity.sum(dim=(-2, -1), keepdim=True)
    x = torch.ones_like(sensitivity) * torch.maximum(level, floor)
    while True:
        rate = torch.maximum(operator.forward(x) + b, floor)
        climb = operator.adjoint(w * y / rate).clamp_min(0) / sensitivity
        x = torch.where(seen, x * climb, x)
        yield x
