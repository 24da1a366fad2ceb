"""Laws of PSFs and of the kernels that lead from the target PSF to them."""

import pytest
import torch

from rimaging.datasets.simulate.psf import (
    WIDTHS,
    kernel_pool,
    matching_kernel,
    psf_pool,
)
from rimaging.errors import ShapeError
from rimaging.operators.target import gaussian_transfer

pytest.importorskip("galsim")


def gaussian(fwhm: float, side: int) -> torch.Tensor:
    line = torch.arange(side, dtype=torch.float64) - side // 2
    profile = torch.exp(-(line**2) * (4 * torch.log(torch.tensor(2.0)) / fwhm**2))
    psf = profile[:, None] * profile[None, :]
    return psf / psf.sum()


def test_matching_gaussians_subtracts_squares():
    """A Gaussian over a Gaussian is a Gaussian, of the difference of the squared widths."""
    kernel = matching_kernel(gaussian(5.0, 41), 3.0)
    assert kernel is not None
    assert torch.allclose(kernel, gaussian(4.0, 41), atol=2e-3 * float(kernel.max()))


def test_kernel_leads_from_the_target_to_the_psf():
    psf = psf_pool(31, 12, 0)
    frequency = torch.fft.fftfreq(93)
    target = gaussian_transfer(2.0, frequency, frequency)
    matched = 0
    for p in psf:
        kernel = matching_kernel(p, 2.0)
        if kernel is not None:
            matched += 1
            seen = torch.fft.ifft2(torch.fft.fft2(kernel, s=(93, 93)) * target).real[:31, :31]
            assert float((seen - p).abs().max()) < 0.02 * float(p.max())
    assert matched >= 4


def test_a_sharper_psf_has_no_kernel():
    assert matching_kernel(gaussian(1.5, 21), 3.0) is None


@pytest.mark.parametrize("side", sorted(WIDTHS))
def test_pools_are_normalised_centred_and_repeatable(side):
    pool = psf_pool(side, 6, 1)
    assert torch.allclose(pool.sum(dim=(-2, -1)), torch.ones(6), atol=1e-5)
    line = torch.arange(side) - side // 2
    assert float((pool.sum(-1) * line).sum(-1).abs().max()) < 0.02
    assert (pool >= 0).all() and not torch.equal(pool[0], pool[1])
    psf_pool.cache_clear()
    assert torch.equal(psf_pool(side, 6, 1), pool)
    kernels = kernel_pool(side, 6, 2.0, 1)
    assert torch.allclose(kernels.sum(dim=(-2, -1)), torch.ones(6), atol=1e-4)


def test_even_stamps_are_refused():
    with pytest.raises(ShapeError, match="odd"):
        matching_kernel(torch.ones(8, 8), 2.0)
