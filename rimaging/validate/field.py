"""The user's image as a field for injections: how bright, how large, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.psf import psf_shape
from rimaging.errors import ShapeError
from rimaging.operators.correlated import NoiseCorrelation
from rimaging.validate.sources import Catalogue, seen_by_psf, stars

FAINTEST = 5.0
"""Signal-to-noise ratio of the faintest star that is injected."""

TURN = 45.0
"""SNR between the faint and the bright stars, which are injected in turns."""


@dataclass(frozen=True)
class Field:
    """One plane of an image with its PSF ``(y, x)``, noise and the level of its sky.

    fwhm: of the PSF; target: of what is sought; both in pixels. correlation: of the noise, or None.
    """

    measurement: Measurement
    level: float
    target: float
    fwhm: float
    generator: torch.Generator
    correlation: NoiseCorrelation | None = None

    def standard_noise(self) -> Tensor:
        """Another draw of the noise of unit variance, which may correlate: ``(y, x)``."""
        drawn = torch.randn(self.shape, generator=self.generator)
        return drawn if self.correlation is None else self.correlation.coloured(drawn)

    @property
    def psf(self) -> Tensor:
        """The PSF, of sum 1."""
        assert self.measurement.psf is not None
        return self.measurement.psf

    @property
    def sigma(self) -> float:
        """The median noise of the pixels."""
        assert self.measurement.noise is not None
        return float(torch.as_tensor(self.measurement.noise).median())

    @property
    def noise(self) -> Tensor:
        """The noise of each pixel ``(y, x)``."""
        data = self.measurement.data
        assert self.measurement.noise is not None
        return torch.as_tensor(self.measurement.noise).to(data).expand(data.shape)

    @property
    def measured(self) -> Tensor:
        """Where a pixel is good, ``(y, x)``."""
        data, mask = self.measurement.data, self.measurement.mask
        known = torch.ones_like(data) if mask is None else mask.expand(data.shape)
        return known > 0

    def good(self, values: Tensor) -> Tensor:
        """Values with 0 at bad pixels."""
        return torch.where(self.measured, values, 0)

    @property
    def flux_error(self) -> float:
        """Noise of the flux of a fitted star: ``sigma sqrt(density / sum psf^2)``."""
        density = 1.0 if self.correlation is None else self.correlation.density(self.psf)
        return self.sigma * math.sqrt(density / float(self.psf.double().square().sum()))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.measurement.data.shape[-2:]
        return int(rows), int(columns)

    @property
    def spacing(self) -> int:
        """Pixels between injected sources that shall not touch."""
        return max(16, math.ceil(4 * self.fwhm + 2 * self.target))

    @property
    def brightest(self) -> float:
        """SNR of a star as bright as the brightest pixel; at least 300, at most 10^5."""
        peak = float((self.measurement.data - self.level).max()) / float(self.psf.max())
        return min(max(peak / self.flux_error, 300.0), 1e5)

    def with_light(self, catalogue: Catalogue) -> Measurement:
        """The image with these sources in it."""
        light = seen_by_psf(catalogue, self.psf, self.shape)
        return replace(self.measurement, data=self.measurement.data + light)

    def slots(self, most: int, spacing: int | None = None) -> tuple[Tensor, Tensor]:
        """At most so many places for sources, the quiet ones first; ``x, y`` at random phases.

        Raises ShapeError where the image has no room.
        """
        space = self.spacing if spacing is None else spacing
        margin = space // 2
        rows, columns = self.shape
        if min(rows, columns) < 2 * margin + 1:
            raise ShapeError(
                f"the image has {rows} x {columns} pixels and a PSF of FWHM {self.fwhm:.1f}: "
                f"validation needs {2 * margin + 1} pixels at least along each side"
            )

        def line(length: int) -> Tensor:
            count = (length - 2 * margin - 1) // space + 1
            free = length - 2 * margin - 1 - (count - 1) * space
            start = margin + int(torch.randint(0, free + 1, (1,), generator=self.generator))
            return start + space * torch.arange(count)

        y, x = (axis.flatten() for axis in torch.meshgrid(line(rows), line(columns), indexing="ij"))
        light = self._light(y, x, margin)
        order = light.argsort()
        order = order[: max(1, math.ceil(2 * len(order) / 3))] if len(order) > 8 else order
        order = order[torch.randperm(len(order), generator=self.generator)][:most]
        phase = torch.rand(2, len(order), generator=self.generator) - 0.5
        return x[order] + phase[0], y[order] + phase[1]

    def _light(self, y: Tensor, x: Tensor, half: int) -> Tensor:
        """The brightest pixel around each place; masked pixels count as bright."""
        data = self.measurement.data
        if self.measurement.mask is not None:
            data = torch.where(self.measurement.mask.expand(data.shape) > 0, data, torch.inf)
        near = torch.nn.functional.max_pool2d(
            data[None, None], 2 * half + 1, stride=1, padding=half
        )[0, 0]
        return near[y, x]

    def star_fields(self, most: int) -> list[Catalogue]:
        """Faint and bright stars at equal steps of log SNR, two catalogues per round."""
        found = []
        for low, high in ((FAINTEST, TURN), (TURN, self.brightest)):
            for _ in range(self.rounds(most)):
                x, y = self.slots(most)
                ranks = torch.randperm(len(x), generator=self.generator)
                ranks = ranks + torch.rand(len(x), generator=self.generator)
                snr = low * (high / low) ** (ranks / len(x))
                found.append(stars(x, y, snr * self.flux_error))
        return found

    def crowd(self, most: int) -> Catalogue:
        """Groups of four stars 1 to 1.5 FWHM apart, SNR 20 to 500."""
        reach = 1.1 * self.fwhm
        x, y = self.slots(most, self.spacing + 2 * math.ceil(reach))
        turn = 2 * math.pi * torch.rand(len(x), generator=self.generator)
        parts = []
        for corner in range(4):
            angle = turn + corner * math.pi / 2
            far = reach * (0.75 + 0.25 * torch.rand(len(x), generator=self.generator))
            snr = 20 * 25 ** torch.rand(len(x), generator=self.generator)
            parts.append((x + far * angle.cos(), y + far * angle.sin(), snr * self.flux_error))
        return stars(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    def galaxies(self, most: int, snr: float = 100.0) -> Catalogue:
        """Discs in pairs turned by 90 degrees (a ring test), half-light radius .5 to 1 FWHM."""
        x, y = self.slots(most)
        if len(x) > 1:
            x, y = x[: len(x) // 2 * 2], y[: len(y) // 2 * 2]
        pairs = (len(x) + 1) // 2
        angle = 2 * math.pi * torch.rand(pairs, generator=self.generator)
        size = 0.1 + 0.3 * torch.rand(pairs, generator=self.generator)
        radius = self.fwhm * (0.5 + 0.5 * torch.rand(pairs, generator=self.generator))
        g1, g2 = size * angle.cos(), size * angle.sin()
        shapes = [torch.stack((g, -g), dim=1).flatten()[: len(x)] for g in (g1, g2)]
        scale = (radius / 1.678).repeat_interleave(2)[: len(x)]
        # A disc spreads its light over about the area of the PSF and of itself.
        spread = (1 + (2.2 * scale / self.fwhm) ** 2).sqrt()
        flux = snr * self.flux_error * spread
        return Catalogue(x=x, y=y, flux=flux, scale=scale, g1=shapes[0], g2=shapes[1])

    def mixture(self, most: int) -> Catalogue:
        """Galaxies, and in every other place a star, of 5 sigma to the brightest."""
        found = self.galaxies(most)
        star = torch.arange(len(found)) % 2 == 0
        snr = FAINTEST * (self.brightest / FAINTEST) ** torch.rand(
            len(found), generator=self.generator
        )
        round_ = {name: torch.where(star, 0.0, getattr(found, name)) for name in ("g1", "g2")}
        return replace(
            found,
            flux=torch.where(star, snr * self.flux_error, found.flux),
            scale=torch.where(star, 0.0, found.scale),
            **round_,
        )

    def rounds(self, most: int) -> int:
        """How often a small image is used again, at other places, for enough sources."""
        across = [(n - self.spacing // 2 * 2 - 1) // self.spacing + 1 for n in self.shape]
        room = max(1, across[0] * across[1])
        return min(6, math.ceil(min(most, 24) / (room if room <= 8 else max(8, 2 * room // 3))))


def field_of(
    measurement: Measurement,
    level: float,
    target: float,
    seed: int,
    correlation: NoiseCorrelation | None = None,
) -> Field:
    """A field from a completed measurement of one plane."""
    assert measurement.psf is not None
    fwhm, _ = psf_shape(measurement.psf)
    generator = torch.Generator().manual_seed(seed)
    return Field(measurement, level, target, fwhm, generator, correlation)
