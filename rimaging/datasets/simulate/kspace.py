"""Multi-coil Cartesian k-space from images, as prospective scans give it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor

from rimaging.datasets.data_card import Split
from rimaging.datasets.simulate import masks, scan
from rimaging.datasets.simulate.anatomy import Anatomy
from rimaging.datasets.simulate.coils import coil_profiles, normalise, perturb, refer_to_first
from rimaging.datasets.simulate.distributions import (
    Parameter,
    draw,
    draw_name,
    draw_one,
    happens,
    integer,
    with_defaults,
)
from rimaging.datasets.simulate.phase import grid, smooth_phase
from rimaging.errors import DataError, OptionError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.fourier import centred_fft, centred_ifft
from rimaging.operators.gaussian import Gaussian

DEFAULTS: dict[str, Parameter] = {
    "coils": {"choice": [4, 6, 8, 8, 12, 16]},
    "acceleration": {"loguniform": [2, 12]},
    "line_acceleration": 8.0,
    "full": 0.04,
    "pattern": {
        "choice": [
            "equispaced",
            "random-lines",
            "variable-lines",
            "poisson-disc",
            "poisson-disc",
            "random-points",
        ]
    },
    "calibration": {"uniform": [0.04, 0.12]},
    "pool": 256,
    "snr": {"loguniform": [8, 200]},
    "scale": {"loguniform": [1e-3, 1e3]},
    "photographs": 0.3,
    "complex": 0.15,
    "support": 0.4,
    "truncated": 0.0,
    "map_error": {"choice": [0, 0, 0.01, 0.02, 0.05]},
    "estimated": 0.0,
    "folded": 0.0,
    "sigma_error": 0.0,
}


class KSpace:
    """Draw k-space y = mask F S x + n of complex images x, and the image to be found.

    x is a magnitude (or a complex MR image, or a photograph) times a smooth random phase. The
    operator holds the maps that a reconstruction would be given: for a share of items they have
    smooth errors, or are zero outside the object, as estimated maps are. The truth is then what
    a full scan would show with these maps, sum_c conj(S_c) x_c of the noiseless coil images x_c,
    which is x where the maps are right.

    A share ``estimated`` of the batches is scanned as a user scans (`simulate.scan.measure`):
    ESPIRiT maps of the undersampled data, a share ``folded`` of them with two sets. ``sigma_error``
    is the standard deviation of the logarithm of the noise that is stated over the true one.

    A share ``truncated`` of the images is drawn up to twice as fine and cut in k-space, as a
    scanner does it: edges are sharp and ring.

    ``snr`` is the mean magnitude in the object over sigma, the standard deviation of the noise
    per real component of each k-space sample (hence of each pixel of a full scan).
    Parameters of the card, all optional: see ``DEFAULTS``. Raises CardError for others.
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], root: Path, split: Split = "train"
    ) -> None:
        """Read the images of a split below ``root`` (folders mri and natural)."""
        self.parameters = with_defaults(parameters, DEFAULTS, "k-space")
        self.anatomy = Anatomy(Path(root), split)

    def __call__(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[Gaussian, Tensor]:
        """Draw a batch: the likelihood of y (batch, coil, y, x) and the truth (batch, y, x)."""
        coils = int(draw_one(self.parameters["coils"], generator))
        estimated = happens(draw_one(self.parameters["estimated"], generator), generator)
        while estimated and coils > 1:
            with suppress(DataError):  # noise took the maps: scan again
                return self._scanned(generator, batch, size, coils)
        images, true_maps, given_maps, sampled = [], [], [], []
        for _ in range(batch):
            image, shows_support = self._image(generator, size)
            profiles = coil_profiles(generator, coils, size)
            true, shading = normalise(profiles)
            if happens(0.5, generator):
                true = refer_to_first(true)
            strength = float(torch.rand(1, generator=generator))
            image = shaded(image, shading, strength)
            given = true
            level = draw_one(self.parameters["map_error"], generator)
            if level > 0:
                given = perturb(true, generator, level)
            support = happens(draw_one(self.parameters["support"], generator), generator)
            if support and shows_support:
                given = given * object_support(image)
            images.append(image)
            true_maps.append(true)
            given_maps.append(given)
            sampled.append(self.mask(generator, size))
        scale = draw(self.parameters["scale"], generator, batch)
        x = torch.stack(images) * scale[:, None, None]
        maps, given_stack = torch.stack(true_maps), torch.stack(given_maps)
        mask = torch.stack(sampled)
        truth = (given_stack.conj() * (maps * x[:, None])).sum(dim=-3)
        sigma = signal(x) / draw(self.parameters["snr"], generator, batch)
        sigma = sigma[:, None, None, None]
        clean = CartesianMRI(maps, mask)(x)
        noise = torch.view_as_complex(torch.randn(*clean.shape, 2, generator=generator))
        weight = mask[:, None].float()
        y = clean + sigma * weight * noise
        stated = sigma * self._misjudged(generator, batch)
        return Gaussian(CartesianMRI(given_stack, mask), y, stated, weight), truth

    def _scanned(
        self, generator: torch.Generator, batch: int, size: int, coils: int
    ) -> tuple[Gaussian, Tensor]:
        """A batch with maps estimated from its own calibration regions."""
        folded = coils > 2 and happens(draw_one(self.parameters["folded"], generator), generator)
        coil_images, sampled, levels = [], [], []
        for _ in range(batch):
            side = scan.folded_side(size, generator) if folded else size
            image, _ = self._image(generator, side)
            maps, shading = normalise(coil_profiles(generator, coils, side))
            image = shaded(image, shading, float(torch.rand(1, generator=generator)))
            scale, snr = (draw_one(self.parameters[name], generator) for name in ("scale", "snr"))
            levels.append(scale * float(signal(image[None])) / snr)
            coil_images.append(scan.fold(maps * (image * scale), size))
            mask = self.mask(generator, size)
            while not scan.has_middle(mask):
                mask = self.mask(generator, size)
            sampled.append(mask)
        sigma = torch.tensor(levels)[:, None, None, None]
        return scan.measure(
            torch.stack(coil_images),
            torch.stack(sampled),
            sigma,
            2 if folded else 1,
            sigma * self._misjudged(generator, batch),
            generator,
        )

    def _misjudged(self, generator: torch.Generator, batch: int) -> Tensor:
        """What the noise is stated to be over what it is, (batch, 1, 1, 1)."""
        spread = draw_one(self.parameters["sigma_error"], generator)
        return torch.exp(spread * torch.randn(batch, 1, 1, 1, generator=generator))

    def _image(self, generator: torch.Generator, size: int) -> tuple[Tensor, bool]:
        """A complex image of maximum about 1, and whether it has an empty background."""
        if happens(draw_one(self.parameters["truncated"], generator), generator):
            fine = integer(size + size // 4, 2 * size, generator)
            image, empty = self._object(generator, fine)
            return truncated(image, size), empty
        return self._object(generator, size)

    def _object(self, generator: torch.Generator, size: int) -> tuple[Tensor, bool]:
        u = torch.rand(3, generator=generator).tolist()
        tone = 0.7 + 0.7 * u[2]  # other contrasts: the same anatomy with a tone curve
        share = draw_one(self.parameters["photographs"], generator)
        complex_share = draw_one(self.parameters["complex"], generator)
        phase = torch.exp(1j * smooth_phase(generator, size))
        if u[0] < complex_share and "kellman" in self.anatomy.images:
            image = self.anatomy.cut("kellman", generator, size)
            return (image * phase if u[1] < 0.5 else image), True
        if u[0] < complex_share + share:
            magnitude = self.anatomy.cut("photographs", generator, size) / 255
            magnitude = magnitude.clamp_min(0) ** tone
            if u[1] < 0.5:
                return magnitude * ellipse(generator, size) * phase, True
            return magnitude * phase, False
        names = self.anatomy.magnitudes
        magnitude = self.anatomy.cut(names[int(u[1] * len(names))], generator, size)
        return magnitude.clamp_min(0) ** tone * phase, True

    def mask(self, generator: torch.Generator, size: int) -> Tensor:
        """Draw a sampling mask (size, size), bool; lines run along either axis."""
        acceleration = draw_one(self.parameters["acceleration"], generator)
        fraction = draw_one(self.parameters["calibration"], generator)
        pattern = draw_name(self.parameters["pattern"], generator)
        if happens(draw_one(self.parameters["full"], generator), generator):
            return torch.ones(size, size, dtype=torch.bool)
        if pattern == "poisson-disc":
            return self._poisson_disc(generator, size)
        if pattern == "random-points":
            width = int(min(fraction * size, 0.6 * size / acceleration**0.5))
            decay = 3 * float(torch.rand(1, generator=generator))
            return masks.random_points((size, size), acceleration, width, generator, decay)
        if pattern == "radial":
            angle = masks.GOLDEN_ANGLE if happens(0.5, generator) else None
            return masks.radial((size, size), max(round(size / acceleration), 8), angle=angle)
        acceleration = min(acceleration, draw_one(self.parameters["line_acceleration"], generator))
        width = max(int(min(fraction * size, 0.6 * size / acceleration)), 1)
        if pattern == "equispaced":
            spacing = max(round(acceleration), 2)
            lines = masks.equispaced(size, spacing, width, integer(0, spacing - 1, generator))
        elif pattern == "random-lines":
            lines = masks.random_lines(size, acceleration, width, generator)
        elif pattern == "variable-lines":
            decay = 1 + 3 * float(torch.rand(1, generator=generator))
            lines = masks.random_lines(size, acceleration, width, generator, decay)
        else:
            raise OptionError(
                f"pattern {pattern!r} is unknown: use equispaced, random-lines, variable-lines, "
                "poisson-disc, random-points or radial."
            )
        full = lines.expand(size, size)
        return full.T.contiguous() if happens(0.5, generator) else full.contiguous()

    def _poisson_disc(self, generator: torch.Generator, size: int) -> Tensor:
        """A member of the pool, with y and x exchanged for half of the draws."""
        bounds = self.parameters["acceleration"]
        if isinstance(bounds, Mapping):
            numbers = [float(value) for values in bounds.values() for value in values]
        else:
            numbers = [float(bounds)]
        index = integer(0, int(draw_one(self.parameters["pool"], generator)) - 1, generator)
        mask = masks.pooled_poisson_disc(size, min(numbers), max(numbers), index)
        return mask.T if happens(0.5, generator) else mask


def truncated(image: Tensor, size: int) -> Tensor:
    """The middle ``size x size`` of k-space of a finer ``(y, x)`` image, as an image again."""
    middle = slice(image.shape[-1] // 2 - size // 2, image.shape[-1] // 2 - size // 2 + size)
    kept = centred_fft(image)[..., middle, middle]
    return centred_ifft(kept) * (size / image.shape[-1])


def shaded(image: Tensor, shading: Tensor, strength: float) -> Tensor:
    """The image as coils without correction of their sum show it, to a part ``strength``."""
    return image * (shading / shading.mean()).clamp(0.1, 10) ** strength


def signal(images: Tensor) -> Tensor:
    """Mean magnitude (batch,) over the object, the pixels above a tenth of the maximum."""
    magnitude = images.abs()
    inside = magnitude > 0.1 * magnitude.amax(dim=(-2, -1), keepdim=True)
    return (magnitude * inside).sum(dim=(-2, -1)) / inside.sum(dim=(-2, -1)).clamp_min(1)


def object_support(image: Tensor) -> Tensor:
    """Where the object is (y, x), 0 or 1: above 5 % of the maximum, smoothed and dilated."""
    magnitude = image.abs()[None, None]
    smooth = functional.avg_pool2d(magnitude, 5, stride=1, padding=2)
    inside = (smooth > 0.05 * smooth.max()).float()
    return functional.max_pool2d(inside, 7, stride=1, padding=3)[0, 0]


def ellipse(generator: torch.Generator, size: int) -> Tensor:
    """A random ellipse with an edge of a few pixels (y, x), the outline of a body in air.

    Half of them have a rim up to four times as bright, as fat under the skin is.
    """
    a, b, turn, edge = torch.rand(4, generator=generator).tolist()
    y, x = grid(size)
    cosine, sine = math.cos(math.pi * turn), math.sin(math.pi * turn)
    u, v = cosine * x + sine * y, cosine * y - sine * x
    distance = torch.sqrt((u / (0.6 + 0.35 * a)) ** 2 + (v / (0.6 + 0.35 * b)) ** 2)
    steepness = size * (0.1 + 0.4 * edge)
    inside = torch.sigmoid((1 - distance) * steepness)
    bright, width = torch.rand(2, generator=generator).tolist()
    rim = inside - torch.sigmoid((0.96 - 0.1 * width - distance) * steepness)
    outline: Tensor = inside + max(0.0, 6 * bright - 3) * rim
    return outline
