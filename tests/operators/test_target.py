"""Laws of the kernel between a target PSF and the PSF of an image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.target import (
    gaussian_psf,
    gaussian_transfer,
    largest_target,
    relative_kernel,
)


def stamp(fwhm: float, side: int) -> Tensor:
    axis = torch.arange(side, dtype=torch.float64) - side // 2
    line = torch.exp(-4 * torch.log(torch.tensor(2.0)) * axis**2 / fwhm**2)
    psf = line[:, None] * line
    return psf / psf.sum()


def seen(kernel: Tensor, fwhm: float) -> Tensor:
    """``kernel * target`` on the stamp of the kernel."""
    height, width = kernel.shape[-2:]
    grid = (3 * height, 3 * width)
    fy, fx = (torch.fft.fftfreq(n, dtype=torch.float64) for n in grid)
    spectrum = torch.fft.fft2(kernel.double(), s=grid) * gaussian_transfer(fwhm, fy, fx)
    return torch.fft.ifft2(spectrum).real[..., :height, :width]


def test_gaussians_subtract_their_squared_widths() -> None:
    kernel = relative_kernel(stamp(5.0, 41), 3.0)
    assert torch.allclose(kernel, stamp(4.0, 41), atol=2e-3 * float(kernel.max()))


@pytest.mark.parametrize("shape", [(31, 31), (31, 41), (2, 25, 31)])
def test_the_kernel_keeps_the_flux_and_leads_to_the_psf(shape: tuple[int, ...]) -> None:
    psf = stamp(4.0, 61)[..., 30 - shape[-2] // 2 : 31 + shape[-2] // 2, :]
    psf = psf[..., 30 - shape[-1] // 2 : 31 + shape[-1] // 2].expand(shape)
    psf = psf / psf.sum(dim=(-2, -1), keepdim=True)
    kernel = relative_kernel(psf, 2.0)
    assert kernel.shape == psf.shape and kernel.dtype == psf.dtype
    assert torch.allclose(kernel.sum(dim=(-2, -1)), torch.ones(shape[:-2]).double(), atol=1e-12)
    assert float((seen(kernel, 2.0) - psf).abs().max()) < 0.01 * float(psf.max())


@pytest.mark.parametrize("wing", [-0.004, 0.01])
def test_wings_that_end_with_the_stamp_cost_the_core_nothing(wing: float) -> None:
    """What stands at the rim of a stamp, right or wrong, must not scale the stars."""
    psf = stamp(4.0, 25)
    rows, columns = torch.meshgrid(torch.arange(25), torch.arange(25), indexing="ij")
    rim = torch.maximum((rows - 12).abs(), (columns - 12).abs()) > 10
    psf = psf + wing * rim / rim.sum()
    psf = psf / psf.sum()
    found = seen(relative_kernel(psf, 2.0), 2.0)
    core = slice(6, 19)
    assert float(found[core, core].sum() / psf[core, core].sum()) == pytest.approx(1, abs=1e-3)


def test_a_point_as_the_target_leaves_the_psf() -> None:
    psf = stamp(3.0, 15)
    assert torch.allclose(relative_kernel(5 * psf, 0), psf)


def test_the_error_names_a_target_that_does() -> None:
    psf = stamp(2.5, 25)
    with pytest.raises(DataError, match="narrower than the target") as caught:
        relative_kernel(psf, 4.0)
    named = float(str(caught.value).split("target=")[1].split()[0])
    assert 2.0 < named <= 2.51
    relative_kernel(psf, named)
    with pytest.raises(DataError):
        relative_kernel(psf, named + 0.02)
    assert largest_target(psf, 1.0) == 1.0


def test_bad_stamps_and_widths_are_refused() -> None:
    with pytest.raises(ShapeError, match="odd"):
        relative_kernel(torch.ones(8, 9), 2.0)
    for width in (-1.0, float("nan")):
        with pytest.raises(OptionError, match="FWHM"):
            relative_kernel(stamp(3.0, 15), width)
    with pytest.raises(OptionError, match="above 0"):
        gaussian_psf(0)


def test_the_gaussian_has_its_width_and_unit_sum() -> None:
    psf = gaussian_psf(6.0, torch.float64)
    middle = psf.shape[-1] // 2
    assert float(psf.sum()) == pytest.approx(1)
    half = psf[middle, middle + 3] / psf[middle, middle]
    assert float(half) == pytest.approx(0.5)


def test_psfs_of_real_telescopes_take_the_usual_target(data_root: Path) -> None:
    from rimaging.datasets.open import open
    from rimaging.datasets.psf import prepare_psf

    for name in ("hst_hsc/PSF_HSC.fits.gz", "psf/irac_ch1_flight.fits.gz"):
        psf, _ = prepare_psf(open(data_root / "astro" / name, kind="sky").data)
        kernel = relative_kernel(psf, 2.0)
        misfit = (seen(kernel, 2.0) - psf).abs().amax(dim=(-2, -1))
        assert bool((misfit < 0.05 * psf.amax(dim=(-2, -1))).all()), name
