"""The classical methods of the door: deconvolve to points, then see by the target."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import OptionError
from rimaging.method import Method, check_counts
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.target import gaussian_psf
from rimaging.reconstruction import centre_crop

MethodName = Literal["rim", "richardson-lucy", "wiener"]
Boundary = Literal["reflect", "valid"]


def check_options(
    method: str,
    boundary: str,
    steps: int | None,
    iterations: int | None,
    noise_to_signal: float | None,
    ensemble: bool,
) -> None:
    """Refuse options that do not go together, by `OptionError`."""
    if method not in get_args(MethodName):
        raise OptionError(
            f"method {method!r} does not exist: choose {', '.join(get_args(MethodName))}"
        )
    check_counts({"steps": steps, "iterations": iterations})
    if boundary not in get_args(Boundary):
        raise OptionError(f"boundary {boundary!r} does not exist: choose 'reflect' or 'valid'")
    if iterations is not None and method != "richardson-lucy":
        raise OptionError(f"iterations are those of richardson-lucy, not of {method}: leave it out")
    if noise_to_signal is not None and method != "wiener":
        raise OptionError(f"noise_to_signal is for wiener, not for {method}: leave it out")
    if steps is not None and method != "rim":
        raise OptionError(f"steps are those of a RIM, not of {method}: leave it out")
    if ensemble and method != "rim":
        raise OptionError(f"an ensemble turns images of a network, {method} has none: leave it out")


def classical(
    name: MethodName,
    target: float,
    boundary: Boundary,
    iterations: int | None,
    noise_to_signal: float | None,
) -> Method:
    """A method to compare with, as a `Method`: deconvolve to points, then see by the target."""
    if name == "richardson-lucy":
        count = 30 if iterations is None else iterations
        solve = partial(_richardson_lucy, iterations=count, boundary=boundary)
        return Method(
            name=name,
            solve=_seen_by(target, boundary, solve),
            provenance={"settings": {"iterations": count}},
        )
    return Method(
        name=name,
        solve=_seen_by(target, boundary, partial(_wiener, noise_to_signal=noise_to_signal)),
        provenance={"settings": {"noise_to_signal": noise_to_signal or "from the noise"}},
    )


def _seen_by(
    target: float, boundary: Boundary, solve: Callable[[Measurement], Tensor]
) -> Callable[[Measurement | None, Gaussian], list[Tensor]]:
    """Deconvolve a piece to points, and convolve the answer with the target."""

    def solved(piece: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        assert piece is not None
        x = solve(piece)
        if target > 0:
            x = Convolution(gaussian_psf(target).to(x), x.shape[-2:], "reflect")(x)
        if boundary == "valid":
            # The residual needs the sky around the image too, of which these methods say nothing.
            rows, columns = likelihood.operator.domain.shape
            height, width = x.shape[-2:]
            radius = ((columns - width) // 2, (rows - height) // 2)
            flat = x.reshape(-1, 1, height, width)
            pad = (radius[0], radius[0], radius[1], radius[1])
            padded = torch.nn.functional.pad(flat, pad, mode="replicate")
            x = padded.reshape(*x.shape[:-2], rows, columns)
        return [x]

    return solved


def _richardson_lucy(piece: Measurement, *, iterations: int, boundary: Boundary) -> Tensor:
    """Richardson-Lucy on a pedestal that makes every pixel positive and is no light of the sky."""
    from rimaging.solvers.richardson_lucy import richardson_lucy

    assert piece.psf is not None
    pedestal = (-piece.data.amin(dim=(-2, -1), keepdim=True)).clamp_min(0)
    return richardson_lucy(
        piece.data + pedestal,
        piece.psf.clamp_min(0),
        iterations=iterations,
        background=pedestal,
        weight=piece.mask,
        boundary=boundary,
    )


def _wiener(piece: Measurement, *, noise_to_signal: float | None) -> Tensor:
    """Wiener with the noise-to-signal ratio of each band."""
    from rimaging.solvers.wiener import wiener

    assert piece.psf is not None and piece.noise is not None
    # No wider than the image: what is cut are the far wings.
    psf = centre_crop(piece.psf, [n - 1 + n % 2 for n in piece.data.shape[-2:]])
    psf = psf / psf.sum(dim=(-2, -1), keepdim=True)
    if noise_to_signal is not None:
        return wiener(piece.data, psf, noise_to_signal)
    sigma = torch.as_tensor(piece.noise).to(piece.data).expand(piece.data.shape)
    power = torch.where(sigma.isfinite(), sigma, torch.nan).square()  # masked pixels may have none
    noise = power.nanmean(dim=(-2, -1))
    signal = torch.maximum(piece.data.var(dim=(-2, -1)) - noise, 1e-3 * noise)
    return wiener(piece.data, psf, noise / signal)
