"""Gate 5: the truth has no bias, a round blur loses shear, a stretch adds it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rimaging.operators.convolution import Convolution
from rimaging.operators.target import gaussian_psf
from rimaging.validate.shear import shear_bias


def test_the_truth_has_no_shear_bias(place: Any, lenses: Any) -> None:
    gate = shear_bias(lenses, 8, place.fwhm)
    assert gate.outcome == "pass" and gate.numbers["galaxies"] >= 8
    assert abs(gate.numbers["m g1"]) < 1e-6 and abs(gate.numbers["c g2"]) < 1e-6


def test_a_round_blur_loses_shear(place: Any, lenses: Any, spoilt: Any) -> None:
    def blur(image: Tensor) -> Tensor:
        return Convolution(gaussian_psf(3.0), image.shape, "zero")(image)

    gate = shear_bias([tuple(spoilt(list(pair), blur)) for pair in lenses], 8, place.fwhm)
    assert gate.outcome == "fail" and gate.numbers["m g1"] < -0.05


def test_a_stretch_along_x_is_an_additive_bias_of_g1(place: Any, lenses: Any, spoilt: Any) -> None:
    line = torch.tensor([[0.1, 0.8, 0.1]])

    def stretch(image: Tensor) -> Tensor:
        return Convolution(line, image.shape, "zero")(image)

    gate = shear_bias([tuple(spoilt(list(pair), stretch)) for pair in lenses], 8, place.fwhm)
    assert gate.outcome == "fail"
    assert gate.numbers["c g1"] > 0.004 > abs(gate.numbers["c g2"])
