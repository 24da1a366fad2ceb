"""Batches of colour through weights that couple the channels: in parts, as at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rimaging import image
from rimaging.errors import ShapeError
from rimaging.operators.target import gaussian_psf
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM


@pytest.fixture
def colour_weights() -> RIM:
    torch.manual_seed(0)
    return RIM(RIMConfig(channels=3, steps=2, fine=4, coarse=4)).eval()


def batch(kind: str) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    pictures = 0.5 + 0.2 * torch.randn(2, 4, 12, 10, 3, generator=generator)
    if kind == "counts":
        return (255 * pictures.clamp(0, 1)).to(torch.uint8)
    pictures[0, 1, :3, :3] = torch.nan if kind == "masked" else 0.5
    return pictures


def of_each(low: float, high: float) -> Tensor:
    return torch.linspace(low, high, 8).reshape(2, 4, 1, 1, 1)


CALLS: dict[str, Any] = {
    "stated": lambda w: image.denoise(batch("floats"), 0.2, w, keep_steps=True),
    "of each": lambda w: image.denoise(batch("floats"), of_each(0.1, 0.3), w),
    "a map": lambda w: image.denoise(batch("floats"), of_each(0.1, 0.3) * torch.ones(12, 10, 3), w),
    "estimated": lambda w: image.denoise(batch("floats"), None, w),
    "masked": lambda w: image.denoise(batch("masked"), 0.2, w),
    "clipped": lambda w: image.denoise(batch("counts"), 50.0, w),
    "error map": lambda w: image.denoise(batch("floats"), 0.2, w, error_map=2),
    "upscaled": lambda w: image.upscale(batch("floats"), 2, 0.2, w, method="rim"),
    "deblurred": lambda w: image.deblur(batch("floats"), gaussian_psf(1.5), 0.2, w, method="rim"),
    "own kernels": lambda w: image.deblur(
        batch("floats")[0, 0],
        torch.stack([gaussian_psf(2.0)] * 2 + [gaussian_psf(2.0).flip(0)]),
        0.2,
        w,
        method="rim",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_parts_give_what_the_batch_gives(
    case: str, colour_weights: RIM, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = CALLS[case](colour_weights)
    monkeypatch.setattr("rimaging.datasets.pieces.CPU_PIECE", 1)
    parts = CALLS[case](colour_weights)
    for name in ("image", "residual", "uncertainty"):
        one, other = getattr(whole, name), getattr(parts, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.shape == other.shape
            assert torch.allclose(one, other, atol=1e-4 * max(1, float(one.abs().max())))
    assert [s.shape for s in whole.steps] == [s.shape for s in parts.steps]
    assert parts.chi2 == pytest.approx(whole.chi2, rel=1e-3, abs=1e-6)
    assert parts.provenance["assumed"] == whole.provenance["assumed"]


def test_no_more_pictures_at_once_than_the_memory_holds(
    colour_weights: RIM, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = RIM.forward

    def counted(self: RIM, likelihood: Any, *args: Any, **kwargs: Any) -> list[Tensor]:
        seen.append(likelihood.y.numel())
        return forward(self, likelihood, *args, **kwargs)

    monkeypatch.setattr(RIM, "forward", counted)
    monkeypatch.setattr("rimaging.datasets.pieces.CPU_PIECE", 1)
    image.denoise(batch("floats"), 0.2, colour_weights)
    assert seen == [12 * 10 * 3] * 8


def test_weights_for_colour_still_refuse_gray(colour_weights: RIM) -> None:
    with pytest.raises(ShapeError, match="colour"):
        image.denoise(batch("floats")[0, ..., 0], 0.2, colour_weights)
