"""Noise whose neighbouring pixels correlate: that of drizzled, resampled and stacked images.

The inference takes it for white noise of the density that it has where the PSF looks,

    density = sum_l rho_l (h * h)_l / (h * h)_0,

with the correlation ``rho_l`` of pixels a lag ``l`` apart and the autocorrelation ``h * h`` of the
PSF: the flux of a point source is then known exactly as well as it is. What else is said of the
noise (residual, chi^2, error map) follows its true spectrum.

Source: of the density, Casertano et al., Astron. J. 120 (2000) 2747, section A.5; of noise along
the lags, Rowe et al., Astron. Comput. 10 (2015) 121, section 5.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.linear_operator import LinearOperator

FLOOR = 0.01
"""Least power of the noise at any frequency, of its mean: where a pipeline left none, nothing can
be whitened."""


class NoiseCorrelation:
    """The correlation of pixels by their distance, the same all over an image.

    Args:
        lags: ``(2 r + 1, 2 r + 1)`` (y, x), symmetric about its centre; it is divided by the value
            there, so that an autocovariance will do.

    Raises ShapeError for even sides, DataError where the centre is not the largest.
    """

    def __init__(self, lags: Tensor) -> None:
        if lags.ndim != 2 or any(side % 2 == 0 for side in lags.shape):
            raise ShapeError(
                f"the correlation of the noise has shape {tuple(lags.shape)}, expected odd sides "
                "(y, x) with no lag in the middle"
            )
        lags = lags.detach().cpu().double()
        lags = (lags + lags.flip(0, 1)) / 2
        middle = float(lags[lags.shape[0] // 2, lags.shape[1] // 2])
        if not bool(torch.isfinite(lags).all()) or not 0 < middle == float(lags.max()):
            raise DataError(
                "the correlation of the noise is not largest in its centre: give that of pixels "
                "by their distance, (y, x), with no lag in the middle"
            )
        self.lags = lags / middle

    @classmethod
    def of(cls, psf: Tensor) -> NoiseCorrelation:
        """That of white noise seen through a PSF ``(y, x)``: its autocorrelation."""
        shape = [2 * n - 1 for n in psf.shape]
        power = torch.fft.rfft2(psf.detach().cpu().double(), s=shape).abs().square()
        lags = torch.fft.irfft2(power, s=shape)
        return cls(lags.roll([n - 1 for n in psf.shape], (0, 1)))

    @property
    def neighbours(self) -> float:
        """The mean correlation of pixels beside each other."""
        return self.at(1)

    def at(self, distance: int) -> float:
        """The mean correlation along rows and columns at so many pixels; 0 where none is known."""
        row, column = (side // 2 for side in self.lags.shape)
        along = (self.lags[row, column:], self.lags[row:, column])
        found = [float(half[distance]) for half in along if distance < len(half)]
        return sum(found) / len(found) if found else 0.0

    def density(self, psf: Tensor) -> float:
        """The power of the noise where a PSF ``(y, x)`` looks; 1 of white noise."""
        shape = [n + m - 1 for n, m in zip(psf.shape, self.lags.shape, strict=True)]
        power = torch.fft.rfft2(psf.detach().cpu().double(), s=shape).abs().square()
        return float(_mean(power * self.power(shape), shape) / _mean(power, shape))

    def power(self, shape: list[int]) -> Tensor:
        """The power spectrum on the half grid of ``rfft2``, of mean 1 and at least `FLOOR`."""
        rows, columns = self.lags.shape
        kept = [min(n - 1 + n % 2, m) for n, m in zip(shape, (rows, columns), strict=True)]
        top, left = (rows - kept[0]) // 2, (columns - kept[1]) // 2
        lags = self.lags[top : top + kept[0], left : left + kept[1]]
        grid = torch.zeros(shape, dtype=torch.float64)
        grid[: kept[0], : kept[1]] = lags
        grid = grid.roll((-(kept[0] // 2), -(kept[1] // 2)), (0, 1))
        power: Tensor = torch.fft.rfft2(grid).real.clamp_min(FLOOR)
        return power / _mean(power, shape)

    def coloured(self, white: Tensor) -> Tensor:
        """Noise of this spectrum and unit variance from white noise ``(..., y, x)``."""
        return self._filtered(white, 0.5)

    def whitened(self, noise: Tensor) -> Tensor:
        """White noise from noise of this spectrum ``(..., y, x)``, of unit variance both."""
        return self._filtered(noise, -0.5)

    def _filtered(self, image: Tensor, exponent: float) -> Tensor:
        shape = list(image.shape[-2:])
        response = self.power(shape).pow(exponent).to(image)
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(image) * response, s=shape)
        return filtered


class CorrelatedGaussian(Gaussian):
    """``y = A x + sigma n`` with correlated ``n`` of unit variance: `Gaussian` of a higher sigma.

    Args:
        operator, y, sigma, weight: as of `Gaussian`; ``sigma`` is that of single pixels, and the
            precision is that of ``sigma sqrt(density)``.
        correlation: of ``n``.
        density: of the noise where the PSF looks (`NoiseCorrelation.density`).
    """

    def __init__(
        self,
        operator: LinearOperator,
        y: Tensor,
        sigma: float | Tensor,
        correlation: NoiseCorrelation,
        density: float,
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(operator, y, math.sqrt(density) * torch.as_tensor(sigma), weight)
        self.correlation = correlation
        self.density = density

    def noise(self, standard: Tensor) -> Tensor:
        """As of `Gaussian`, with neighbours that correlate."""
        return super().noise(self.correlation.coloured(standard)) / math.sqrt(self.density)

    def weighted_residual(self, x: Tensor) -> Tensor:
        """``(y - A x) / sigma``, whitened; 0 where nothing was measured."""
        white = self.correlation.whitened(super().weighted_residual(x))
        return torch.where(self.measured, math.sqrt(self.density) * white, 0)

    def chi2(self, x: Tensor) -> Tensor:
        """Mean square of the `weighted_residual` over what was measured, ``(*batch,)``."""
        count = self.measured.expand(self.y.shape).sum(dim=self._axes).clamp_min(1)
        return self.weighted_residual(x).square().sum(dim=self._axes) / count


def _mean(half: Tensor, shape: list[int]) -> Tensor:
    """The mean over the whole grid of a real spectrum on the half grid of ``rfft2``."""
    twice = torch.full((half.shape[-1],), 2.0, dtype=half.dtype)
    twice[0] = 1
    if shape[-1] % 2 == 0:
        twice[-1] = 1
    return (half * twice).sum() / math.prod(shape)
