"""Blurred pictures that end at white: lights that say only that they are as bright or brighter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rimaging import image
from rimaging.operators.clipped import Clipped
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.solvers.plug_and_play import plug_and_play

KERNEL = torch.zeros(9, 9)
KERNEL[4] = 1 / 9


def lights() -> tuple[np.ndarray, np.ndarray]:
    """A dim scene with lights of up to five times white: as it is, and as a camera has it."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:80, :80]
    scene = 60 + 30 * np.sin(columns / 7) * np.cos(rows / 9)
    for row, column in random.integers(12, 68, (6, 2)):
        light = np.hypot(rows - row, columns - column) < 2
        scene = np.where(light, random.uniform(600, 1275), scene)
    seen = Convolution(KERNEL, scene.shape, "reflect")(torch.from_numpy(scene).float()).numpy()
    return scene, (seen + 2 * random.standard_normal(scene.shape)).round().clip(0, 255)


def error(found: object, scene: np.ndarray) -> float:
    shown = np.asarray(found).clip(0, 255) - scene.clip(0, 255)
    return float(np.sqrt(np.mean(shown**2)))


def test_nothing_rings_around_lights_that_are_white() -> None:
    scene, seen = lights()
    assert 60 < (seen == 255).sum() < 600
    said = image.deblur(seen.astype(np.uint8), KERNEL, 2)
    assert "noise taken as clipped to black and white" in said.provenance["assumed"]
    unsaid = image.deblur(seen.astype(np.float32), KERNEL, 2)
    assert error(said.image, scene) < 0.6 * error(unsaid.image, scene)
    stated = image.deblur(seen.astype(np.float32), KERNEL, 2, clip=(0, 255))
    assert np.allclose(stated.image, said.image, atol=0.05)
    directly = image.deblur(seen.astype(np.uint8), KERNEL, 2, method="rim")
    assert error(directly.image, scene) < 0.6 * error(unsaid.image, scene)


def test_a_picture_without_white_or_black_is_as_before(real_weights: Path) -> None:
    _, seen = lights()
    seen = (seen / 2 + 20).astype(np.uint8)
    plain = image.deblur(seen.astype(np.float32), KERNEL, 2, real_weights)
    assert np.allclose(image.deblur(seen, KERNEL, 2, real_weights).image, plain.image, atol=0.02)


def test_the_data_that_turns_fit_are_those_expected_beyond_white() -> None:
    truth = torch.full((8, 8), 1.5)
    identity = Identity((8, 8))
    clipped = Clipped(identity, truth.clamp(0, 1), 0.1)
    bright, gray = torch.full((8, 8), 1.5), torch.full((8, 8), 0.2)

    def nearest(likelihood: Gaussian, start: torch.Tensor) -> torch.Tensor:
        return plug_and_play(likelihood, lambda x, _: x, span=1.0, steps=3, start=start)[-1]

    # A light that is brighter than white explains its data, as no Gaussian would have it.
    assert torch.allclose(nearest(clipped, bright), bright, atol=1e-3)
    assert (nearest(Gaussian(identity, clipped.y, 0.1), bright) < 1.2).all()
    assert (nearest(clipped, gray) > 0.9).all()
