"""Images of the sky, blurred and noisy, and the sky at the target PSF that is sought."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor

from rimaging.datasets.data_card import Split
from rimaging.datasets.simulate.distributions import (
    Parameter,
    draw,
    draw_name,
    draw_one,
    happens,
    integer,
    with_defaults,
)
from rimaging.datasets.simulate.galaxies import SIDE, analytic_galaxies, cosmos_galaxies
from rimaging.datasets.simulate.photographs import Photographs, dihedral
from rimaging.datasets.simulate.psf import WIDTHS, kernel_pool
from rimaging.datasets.simulate.textures import nebula, nebulae
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian

DEFAULTS: dict[str, Parameter] = {
    "target_fwhm": 2.0,
    "boundary": {"choice": ["zero", "valid", "valid", "reflect"]},
    "stamp": 0.35,
    "field": 0.4,
    "nebula": 0.15,
    "photograph": 0.1,
    "sources": {"loguniform": [1, 40]},
    "stars": {"uniform": [0, 1]},
    "slope": {"uniform": [0.5, 1.2]},
    "brightest": {"loguniform": [100, 1e5]},
    "snr": {"loguniform": [10, 300]},
    "contrast": {"loguniform": [5, 300]},
    "scale": {"loguniform": [1e-3, 1e3]},
    "poisson": 0.3,
    "pairs": 0.0,
    "extra": {"loguniform": [5, 3000]},
    "galaxies": 400,
    "versions": 6,
    "kernels": 96,
}
SEEDS = {"train": 0, "validation": 1, "test": 2}


class Sky:
    """Draw y = K x + n: x the sky seen by the target PSF, K what blurs it further.

    The target is a Gaussian of ``target_fwhm`` pixels, so that x is band-limited and sampled well.
    K is PSF / target in Fourier space, hence K x = PSF * sky, or a PSF as it comes (see
    ``kernel_pool``). Scenes, by their shares: a single galaxy of signal to noise ``snr``
    (root of the sum of (K x)^2 / sigma^2); a field of stars and galaxies, the number above a
    flux F falling as F^-slope up to a peak of ``brightest`` sigma; nebulae and photographs with
    a few stars, of ``contrast`` sigma; else noise alone.

    Noise is Gaussian; for the share ``poisson`` that of the photons comes on top and the
    likelihood is told the map a pipeline would estimate from the data themselves.

    The share ``pairs`` of all batches comes in pairs ``(2, batch // 2, ...)`` of a sky with the
    same noise: the second has a star of significance ``extra`` more, in its inner half.

    Parameters of the card, all optional: see ``DEFAULTS``. Raises CardError for others.
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], root: Path, split: Split = "train"
    ) -> None:
        """Read the data of a split below ``root`` and draw galaxies and PSFs (20 s)."""
        self.parameters = with_defaults(parameters, DEFAULTS, "the sky")
        self.fwhm = self._fixed("target_fwhm")
        self.pairs = self._fixed("pairs")
        seed = SEEDS[split]
        astro = Path(root) / "astro"
        self.galaxies = torch.cat(
            [
                analytic_galaxies(int(self._fixed("galaxies")), self.fwhm, seed),
                cosmos_galaxies(
                    astro / "cosmos_galaxies", split, int(self._fixed("versions")), self.fwhm, seed
                ),
            ]
        )
        count = int(self._fixed("kernels"))
        self.kernels = {side: kernel_pool(side, count, self.fwhm, seed) for side in WIDTHS}
        self.nebulae = nebulae(astro, split)
        self.photographs = Photographs({}, root, split)

    def _fixed(self, name: str) -> float:
        return draw_one(self.parameters[name], torch.Generator().manual_seed(0))

    def __call__(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[Gaussian, Tensor]:
        """Draw a batch: the likelihood of the images and the truth (batch, size, size).

        Pairs are ``(2, batch // 2, size, size)``. Where the boundary is "valid", the images are
        smaller than the truth by twice the radius of the kernel.
        """
        # (no number is drawn where there are none, so that draws are those of cards before)
        paired = self.pairs > 0 and happens(self.pairs, generator)
        if paired:
            batch = max(batch // 2, 1)
        boundary = draw_name(self.parameters["boundary"], generator)
        # A kernel wider than a third of the scene would leave nothing to see of it.
        sides = [side for side in WIDTHS if side <= size / (3 if boundary == "valid" else 1.2)]
        side = (sides or [min(WIDTHS)])[integer(0, max(len(sides) - 1, 0), generator)]
        pool = self.kernels[side]
        chosen = torch.randint(len(pool), (batch,), generator=generator)
        turns = torch.randint(8, (batch,), generator=generator).tolist()
        kernel = torch.stack(
            [dihedral(pool[i], t) for i, t in zip(chosen.tolist(), turns, strict=True)]
        )
        inner = size - (side - 1 if boundary == "valid" else 0)
        operator = Convolution(kernel, (inner, inner), boundary)  # type: ignore[arg-type]
        sharpness = kernel.square().sum(dim=(-2, -1)).sqrt().tolist()
        truth = torch.stack([self._scene(generator, size, float(s)) for s in sharpness])
        if paired:
            extra = torch.stack([self._extra(generator, size, float(s)) for s in sharpness])
            truth = torch.stack((truth, truth + extra))
        clean = operator(truth)
        variance = torch.ones_like(clean)
        estimate = torch.ones_like(clean)
        noise = torch.randn(clean.shape[-3:], generator=generator)
        for item in range(batch):
            if happens(self._draw("poisson", generator), generator):
                # Photons per unit of the sky noise: sky-limited to limited by the source.
                gain = draw_one({"loguniform": [1, 100]}, generator)
                variance[..., item, :, :] += clean[..., item, :, :].clamp_min(0) / gain
                seen = clean[..., item, :, :] + variance[..., item, :, :].sqrt() * noise[item]
                estimate[..., item, :, :] += seen.clamp_min(0) / gain
        scale = draw(self.parameters["scale"], generator, batch)[:, None, None]
        y = scale * (clean + variance.sqrt() * noise)
        return Gaussian(operator, y, scale * estimate.sqrt()), scale * truth

    def _draw(self, name: str, generator: torch.Generator) -> float:
        return draw_one(self.parameters[name], generator)

    def _scene(self, generator: torch.Generator, size: int, sharpness: float) -> Tensor:
        """A sky (size, size) in units of the noise; ``sharpness`` is the norm of the kernel."""
        kind = float(torch.rand(1, generator=generator))
        scene = torch.zeros(size, size)
        bounds = [self._draw(n, generator) for n in ("stamp", "field", "nebula", "photograph")]
        if kind < bounds[0]:
            self._add_galaxy(scene, generator, 1.0, 0.1)
            # |K x| lies between |x| (wide sources) and flux |K| (points): their harmonic mean.
            blurred = float((scene.square().sum() ** -1 + sharpness**-2) ** -0.5)
            return scene * (self._draw("snr", generator) / blurred)
        if kind < sum(bounds[:2]):
            return self._field(scene, generator, sharpness)
        if kind < sum(bounds[:3]) and self.nebulae:
            scene = nebula(self.nebulae, generator, size, self.fwhm)
        elif kind < sum(bounds):
            side = integer(size, min(2 * size, 320), generator)
            photograph = self.photographs.patches(generator, 1, side)[:, None]
            scene = functional.interpolate(
                photograph, (size, size), mode="bilinear", antialias=True
            )[0, 0]
        else:
            return scene
        scene = scene * self._draw("contrast", generator)
        return self._field(scene, generator, sharpness) if happens(0.5, generator) else scene

    def _field(self, scene: Tensor, generator: torch.Generator, sharpness: float) -> Tensor:
        """Add stars and galaxies with power-law fluxes to a scene."""
        count = round(self._draw("sources", generator) * (scene.shape[-1] / 64) ** 2)
        slope = self._draw("slope", generator)
        share = self._draw("stars", generator)
        # A point of flux F is detected at F |K| sigma; sources begin at one sigma.
        brightest = self._draw("brightest", generator)
        u = torch.rand(max(count, 1), generator=generator)
        detection = (u * (1 - brightest**-slope) + brightest**-slope) ** (-1 / slope)
        flux = detection / sharpness
        star = torch.rand(len(flux), generator=generator) < share
        scene = scene + self._stars(generator, flux[star], scene.shape[-1])
        for value in flux[~star].tolist():
            # Extended sources of the same flux are fainter: up to three times more for them.
            self._add_galaxy(scene, generator, value * 3, 0.5)
        return scene

    def _stars(self, generator: torch.Generator, flux: Tensor, size: int) -> Tensor:
        """Points seen by the target PSF, anywhere in the scene and a little outside of it."""
        place = torch.rand(2, len(flux), 1, generator=generator) * (size + 6) - 3.5
        return self._points(flux, place, size)

    def _extra(self, generator: torch.Generator, size: int, sharpness: float) -> Tensor:
        """The star that the second sky of a pair has more."""
        flux = draw(self.parameters["extra"], generator, 1) / sharpness
        place = (0.25 + 0.5 * torch.rand(2, 1, 1, generator=generator)) * size
        return self._points(flux, place, size)

    def _points(self, flux: Tensor, place: Tensor, size: int) -> Tensor:
        """Points ``(n,)`` at ``(2, n, 1)`` seen by the target PSF."""
        s = self.fwhm / 2.354820045
        row, column = torch.exp(-((torch.arange(size) - place) ** 2) / (2 * s**2))
        peak = flux / (2 * torch.pi * s**2)
        return torch.einsum("n,ny,nx->yx", peak, row, column)

    def _add_galaxy(
        self, scene: Tensor, generator: torch.Generator, flux: float, spread: float
    ) -> None:
        """Add a galaxy of the pool near the middle, within ``spread`` of the size."""
        size = scene.shape[-1]
        u = torch.rand(4, generator=generator).tolist()
        stamp = dihedral(self.galaxies[int(u[0] * len(self.galaxies))], int(8 * u[1]))
        centre = [round(size / 2 + (2 * v - 1) * spread * size) for v in u[2:]]
        top, left = (c - SIDE // 2 for c in centre)
        rows = slice(max(top, 0), min(top + SIDE, size))
        columns = slice(max(left, 0), min(left + SIDE, size))
        piece = stamp[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        scene[rows, columns] += flux * piece
