"""A field whose truth is known, an estimator that tells it, and what becomes of injected light."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.operators.target import gaussian_psf, gaussian_transfer
from rimaging.validate.experiments import Answer
from rimaging.validate.field import Field, field_of
from rimaging.validate.sources import seen_by_psf, seen_by_target, stars
from rimaging.validate.stars import Response

SHAPE = (96, 90)
PSF, TARGET = gaussian_psf(3.0), 2.0
LEVEL, SIGMA = 100.0, 0.5


def transfer(psf: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Of a centred PSF, on a grid."""
    grid = torch.zeros(shape, dtype=torch.float64)
    grid[: psf.shape[0], : psf.shape[1]] = psf.double()
    return torch.fft.fft2(grid.roll([-(n // 2) for n in psf.shape], (0, 1)))


def sharpened(light: Tensor, psf: Tensor, target: float = TARGET) -> Tensor:
    """Light without noise from one PSF to another, exactly (but for float32)."""
    pad = 32
    padded = torch.nn.functional.pad(light.double(), (pad, pad, pad, pad))
    shape = tuple(padded.shape)
    p = transfer(psf, shape)
    f = [torch.fft.fftfreq(n, dtype=torch.float64) for n in shape]
    filter_ = gaussian_transfer(target, *f) * p.conj() / (p.abs() ** 2 + 1e-10)
    found = torch.fft.ifft2(torch.fft.fft2(padded) * filter_).real
    return found[pad:-pad, pad:-pad].float()


class Oracle:
    """Knows the sky of the field, and recovers without error whatever light is added to it."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        own = stars(
            torch.tensor([20.0, 60.3, 41.0]),
            torch.tensor([30.0, 50.7, 80.2]),
            torch.tensor([3e3, 8e2, 2e2]),
        )
        self.noise = SIGMA * torch.randn(SHAPE, generator=generator)
        self.noise -= self.noise.mean()
        self.noise *= SIGMA / self.noise.std()
        self.data = LEVEL + seen_by_psf(own, PSF, SHAPE) + self.noise
        self.sky = LEVEL + seen_by_target(own, TARGET, 41, SHAPE)

    def __call__(self, measurement: Measurement, target: float) -> Answer:
        rows, columns = (a - b for a, b in zip(SHAPE, measurement.data.shape, strict=True))
        added = measurement.data - self.data[rows:, columns:]
        residual = self.noise[rows:, columns:] / SIGMA
        if float((measurement.data - LEVEL).abs().max()) < 7 * SIGMA:
            return Answer(torch.full_like(measurement.data, LEVEL), residual)
        assert measurement.psf is not None
        light = sharpened(added, measurement.psf, target)
        return Answer(self.sky[rows:, columns:] + light, residual)


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def place(oracle: Oracle) -> Field:
    # anew for each test: its generator is used up, and what comes next would depend on the order
    measurement = Measurement(kind="sky", data=oracle.data, noise=SIGMA, psf=PSF)
    return field_of(measurement, LEVEL, TARGET, seed=1)


@pytest.fixture
def isolated(place: Field) -> list[Response]:
    """Stars found as they are."""
    return [told(place, catalogue) for catalogue in place.star_fields(16)]


@pytest.fixture
def crowded(place: Field) -> list[Response]:
    return [told(place, place.crowd(16))]


@pytest.fixture
def lenses(place: Field) -> list[tuple[Response, Response]]:
    """Galaxies behind two opposite lenses, found as they are."""
    galaxies = place.galaxies(16)
    return [
        (told(place, galaxies.sheared(0.02, 0.02)), told(place, galaxies.sheared(-0.02, -0.02)))
    ]


def told(place: Field, catalogue: object) -> Response:
    truth = seen_by_target(catalogue, TARGET, 2 * place.spacing, place.shape)  # type: ignore[arg-type]
    return Response(truth, truth, catalogue)  # type: ignore[arg-type]


@pytest.fixture
def spoilt() -> Callable[[list[Response], Callable[[Tensor], Tensor]], list[Response]]:
    """Responses whose found image went through a function."""

    def spoil(responses: list[Response], how: Callable[[Tensor], Tensor]) -> list[Response]:
        return [r._replace(found=how(r.found)) for r in responses]

    return spoil


@pytest.fixture
def moved() -> Callable[[Tensor, float], Tensor]:
    """Shift an image along x by a fraction of a pixel."""

    def move(image: Tensor, by: float) -> Tensor:
        frequency = torch.fft.fftfreq(image.shape[-1])
        phase = torch.exp(-2j * torch.pi * frequency * by)
        return torch.fft.ifft(torch.fft.fft(image) * phase).real

    return move
