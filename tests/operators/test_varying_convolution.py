"""The laws of a PSF that varies, and its agreement with the one that does not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rimaging.errors import ShapeError
from rimaging.operators.convolution import Boundary, Convolution
from rimaging.operators.varying_convolution import VaryingConvolution
from rimaging.testing import (
    assert_adjoint,
    assert_linear,
    assert_locality,
    assert_normal,
    assert_normal_bound,
    assert_normal_diagonal,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def operator(
    terms: int, shape: tuple[int, int], boundary: Boundary, batch: tuple[int, ...] = ()
) -> VaryingConvolution:
    psfs = draw(*batch, terms, 3, 5)
    rows, columns = shape
    margin = (2, 4) if boundary == "valid" else (0, 0)
    weights = draw(*batch, terms, rows + margin[0], columns + margin[1], seed=1)
    return VaryingConvolution(psfs, weights, shape, boundary)


@settings(max_examples=8)
@given(st.integers(1, 3), st.sampled_from(["zero", "reflect", "valid", "circular"]))
def test_the_laws(terms: int, boundary: Boundary) -> None:
    a = operator(terms, (7, 9), boundary)
    assert_linear(a)
    assert_adjoint(a)
    assert_normal(a)
    assert_locality(a)
    assert_normal_bound(a)
    if boundary != "reflect":
        assert_normal_diagonal(a)


def test_bands_have_their_own_psfs_and_weights() -> None:
    a = operator(2, (6, 8), "valid", batch=(3,))
    assert_adjoint(a, (3,))
    assert_normal_diagonal(a, (3,))
    assert_normal_bound(a, (3,))


@pytest.mark.parametrize("boundary", ["zero", "reflect", "valid", "circular"])
def test_a_constant_weight_is_the_convolution(boundary: Boundary) -> None:
    psf, shape = draw(1, 5, 3), (9, 8)
    plain = Convolution(psf[0], shape, boundary)
    varying = VaryingConvolution(psf, torch.ones(1, *plain.domain.shape), shape, boundary)
    x, y, w = draw(*plain.domain.shape), draw(*shape), draw(*shape).abs()
    assert torch.allclose(varying(x), plain(x), atol=1e-12)
    assert torch.allclose(varying.adjoint(y), plain.adjoint(y), atol=1e-12)
    assert torch.allclose(varying.normal_diagonal(w), plain.normal_diagonal(w), atol=1e-12)
    assert torch.allclose(varying.normal_bound(w), plain.normal_bound(w), atol=1e-12)


def test_a_star_has_the_psf_of_its_own_pixel() -> None:
    a = operator(3, (9, 11), "zero")
    star = torch.zeros(9, 11, dtype=torch.float64)
    star[4, 5] = 2.0
    expected = 2 * (a.weights[:, 4, 5, None, None] * a.psfs).sum(dim=0)
    assert torch.allclose(a(star)[3:6, 3:8], expected, atol=1e-12)


def test_weights_of_another_size_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"give \(..., 2, 8, 10\)"):
        VaryingConvolution(draw(2, 3, 3), draw(2, 6, 8), (6, 8), "valid")
    with pytest.raises(ShapeError, match="one map for each"):
        VaryingConvolution(draw(2, 3, 3), draw(3, 6, 8), (6, 8))
    with pytest.raises(ShapeError, match="expects PSFs"):
        VaryingConvolution(draw(3, 3), draw(3, 6, 8), (6, 8))
