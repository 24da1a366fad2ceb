"""How a measurement becomes images: a `Method`, and the RIM as one, on the device that is there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, OptionError, WeightsError
from rimaging.operators.gaussian import with_own_noise
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.noncartesian import equalised
from rimaging.rim.ensemble import ELEMENTS, ensemble
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights, locate

Weights = str | Path | RIM


@dataclass(frozen=True, kw_only=True)
class Method:
    """How a piece of a measurement becomes images.

    solve: from the piece (None where only a likelihood was given) and its likelihood to the
    estimates, first to last. error: from these three to the error of the last estimate, or of that
    with its residual put back, for methods that know (`RIM.error`); error_residual: whether they
    know the second. bytes_per_pixel: of the image, beside the physics. provenance: what to write
    down of it.
    """

    name: str
    solve: Callable[[Measurement | None, Any], list[Tensor]]
    error: Callable[[Measurement | None, Any, list[Tensor], bool], Tensor] | None = None
    error_residual: bool = False
    bytes_per_pixel: float = 64.0
    provenance: dict[str, Any] = field(default_factory=dict)


def rim_method(
    weights: Weights, steps: int | None, device: torch.device, eight: bool = False
) -> Method:
    """The RIM as a `Method`, or the mean of its ``eight`` turns; weights are loaded once."""
    check_counts({"steps": steps})
    rim, provenance = load_rim(weights, device)
    count = rim.config.steps if steps is None else steps
    if count < 1:
        raise OptionError(f"steps must be at least 1, got {count}: leave it out for the default")

    def solve(part: Measurement | None, likelihood: Likelihood) -> list[Tensor]:
        for dtype in (likelihood.y.dtype, likelihood.operator.domain.dtype):
            if dtype not in (torch.float32, torch.complex64):
                raise DataError(
                    f"the likelihood is of {dtype}, a RIM of single precision: build it, its "
                    "operator too, from float32 or complex64"
                )
        balanced = equalised(likelihood, None if part is None else part.density)
        estimates: list[Tensor]
        estimates = ensemble(rim, balanced, count) if eight else rim(balanced, steps=count)
        return estimates

    def error(
        part: Measurement | None, likelihood: Likelihood, found: list[Tensor], residual: bool
    ) -> Tensor:
        rim.checked_error_head(residual)
        balanced = equalised(likelihood, None if part is None else part.density)
        errors = rim.error(balanced, found)
        return with_own_noise(errors[1], balanced, balanced.noise_scale) if residual else errors[0]

    turned = {"ensemble": ELEMENTS} if eight else {}
    return Method(
        name="rim",
        solve=solve,
        error=None if rim.error_head is None else error,
        error_residual=rim.config.error_residual,
        bytes_per_pixel=rim.bytes_per_pixel(device.type),
        provenance={"weights": provenance, "steps": count, **turned},
    )


def check_counts(counts: Mapping[str, object]) -> None:
    """Raise OptionError for a count, by its name, that is given and no whole number."""
    for name, value in counts.items():
        if value is not None and not isinstance(value, Integral):
            raise OptionError(f"{name} is {value!r}: give a whole number, or leave it out")


def one_number(value: object, name: str, hint: str) -> float:
    """A number of any kind, an array or tensor of one included; OptionError for others."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        raise OptionError(
            f"{name} is a {type(value).__name__}, one number is needed: {hint}"
        ) from None


def load_rim(weights: Weights, device: torch.device) -> tuple[RIM, dict[str, Any]]:
    """A RIM on a device, and what identifies its weights."""
    if isinstance(weights, RIM):
        return _of_the_caller(weights, device), {"name": "in memory", "sha256": "unknown"}
    source = str(weights)
    path = locate(source)
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    rim, card = _loaded(str(path), stamp, str(device))
    name = card.get("name") or path.name.removesuffix(".safetensors")
    return rim, {"name": name, "sha256": card["sha256"], "version": card.get("version")}


def _of_the_caller(rim: RIM, device: torch.device) -> RIM:
    """The RIM on a device and not in training, where it is neither a copy; it stays as it is."""
    for value in rim.parameters():
        if value.dtype != torch.float32:
            raise WeightsError(
                f"the RIM is of {str(value.dtype).removeprefix('torch.')}, expected float32: give "
                "rim.float()"
            )
        if value.device != device or rim.training:
            return copy.deepcopy(rim).to(device).eval()
    return rim


@lru_cache(maxsize=8)
def _loaded(source: str, stamp: int, device: str) -> tuple[RIM, dict[str, Any]]:
    """Load weights once; ``stamp`` tells a file that was written anew."""
    rim, card = load_weights(source)
    return rim.to(device), card


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or the GPU if there is one; raise OptionError if it is not there."""
    available = torch.cuda.is_available()
    if device is None:
        return torch.device("cuda" if available else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError:
        raise OptionError(f"device {device!r} does not exist: use 'cpu' or 'cuda'") from None
    if place.type == "cuda" and not available:
        raise OptionError("device='cuda' asked, but torch sees no GPU: use device='cpu'")
    return place
