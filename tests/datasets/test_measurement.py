from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, OptionError, RimagingError, ShapeError


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.complex64)


def scan(mask: Tensor | None = None, coils: int = 3) -> Measurement:
    kspace = noise(coils, 24, 20)
    if mask is not None:
        kspace = kspace * mask
    maps = noise(coils, 24, 20, seed=1)
    return Measurement(kind="kspace", data=kspace, maps=maps)


def test_kspace_likelihood_has_the_score_of_its_log_prob() -> None:
    columns = (torch.arange(20) % 3 == 0).float()
    likelihood = scan(columns).likelihood()
    x = noise(24, 20, seed=2).requires_grad_()
    likelihood.log_prob(x).sum().backward()
    assert x.grad is not None
    score = likelihood.score(x.detach())
    torch.testing.assert_close(score, x.grad, rtol=1e-4, atol=1e-4 * float(score.abs().max()))


def test_a_mask_is_found_where_none_is_given_and_equals_the_one_given() -> None:
    columns = (torch.arange(20) % 3 == 0).float()
    found = scan(columns).completed()
    assert found.mask is not None
    assert torch.equal(found.mask, columns.expand(24, 20))
    assert any("mask found" in note for note in found.provenance["assumed"])
    given = Measurement(kind="kspace", data=found.data, mask=columns).completed()
    assert given.mask is not None
    assert torch.equal(given.mask, found.mask)


def test_scattered_zeros_are_values_and_lines_of_zeros_are_padding() -> None:
    kspace = noise(1, 40, 40)
    kspace[:, 3, 5] = kspace[:, 20, 20] = 0
    kspace[..., -4:] = 0
    mask = Measurement(kind="kspace", data=kspace).completed().mask
    assert mask is not None
    assert torch.equal(mask, (torch.arange(40) < 36).float().expand(40, 40))
    padded = Measurement(kind="kspace", data=kspace, mask=torch.ones(40)).completed()
    assert padded.mask is not None
    assert torch.equal(padded.mask, mask)


def test_noise_that_is_estimated_is_said_and_noise_that_is_given_stays() -> None:
    image = Measurement(kind="image", data=2.0 * noise(64, 64).real.contiguous())
    whole = image.completed()
    assert isinstance(whole.noise, float)
    assert whole.noise == pytest.approx(2**0.5, rel=0.1)  # randn of complex has variance 1/2 each
    assert any("noise" in note for note in whole.provenance["assumed"])
    assert whole.completed() is whole
    given = Measurement(kind="image", data=image.data, noise=0.5)
    assert given.completed() is given
    assert "assumed" not in image.provenance


def test_bands_of_a_sky_have_their_own_noise() -> None:
    data = noise(3, 64, 64).real * torch.tensor([1.0, 5.0, 25.0])[:, None, None]
    sigma = Measurement(kind="sky", data=data, psf=torch.ones(3, 3)).completed().noise
    assert isinstance(sigma, Tensor)
    assert sigma.shape == (3, 1, 1)
    torch.testing.assert_close(sigma[1:] / sigma[:-1], torch.full((2, 1, 1), 5.0), rtol=0.1, atol=0)


@pytest.mark.parametrize(("boundary", "grown"), [("reflect", 0), ("valid", 6)])
def test_sky_likelihood_lives_on_the_grid_that_its_boundary_says(boundary: Any, grown: int) -> None:
    sky = Measurement(kind="sky", data=noise(32, 30).real, psf=torch.ones(7, 7))
    likelihood = sky.likelihood(boundary=boundary)
    assert likelihood.operator.domain.shape == (32 + grown, 30 + grown)
    flat = torch.ones(likelihood.operator.domain.shape)
    torch.testing.assert_close(likelihood.operator(flat), torch.ones(32, 30))


def test_an_even_psf_warns() -> None:
    sky = Measurement(kind="sky", data=noise(32, 30).real, psf=torch.ones(6, 7), noise=1.0)
    with pytest.warns(UserWarning, match="padded from 6 to 7"):
        whole = sky.completed()
    assert whole.psf is not None
    assert whole.psf.shape == (7, 7)


def test_masked_pixels_do_not_reach_the_likelihood() -> None:
    data = noise(16, 16).real.clone()
    mask = torch.ones(16, 16)
    mask[3, 4] = 0
    changed = data.clone()
    changed[3, 4] = 1e6
    x = torch.zeros(16, 16)
    scores = [
        Measurement(kind="image", data=y, mask=mask, noise=1.0).likelihood().score(x)
        for y in (data, changed)
    ]
    assert torch.equal(scores[0], scores[1])


def test_scaling_data_and_noise_keeps_chi2() -> None:
    image = Measurement(kind="image", data=noise(16, 16).real, noise=0.3)
    x = noise(16, 16, seed=5).real
    chi2 = image.likelihood().chi2(x)
    torch.testing.assert_close(image.scaled(64.0).likelihood().chi2(64 * x), chi2)


K = noise(2, 12, 10)
IMAGE = noise(12, 10).real
HALF = (torch.arange(10) < 5).float()
BAD: dict[str, tuple[dict[str, Any], type[RimagingError], str]] = {
    "kind": ({"kind": "mri", "data": K}, OptionError, "kspace, sky, image"),
    "real k-space": ({"kind": "kspace", "data": K.abs()}, DataError, "complex"),
    "no coil axis": ({"kind": "kspace", "data": K[0]}, ShapeError, "coil"),
    "NaN": ({"kind": "image", "data": IMAGE * torch.nan}, DataError, "120 of 120"),
    "integers": (
        {"kind": "image", "data": torch.ones(4, 4, dtype=torch.int32)},
        DataError,
        "float",
    ),
    "mask of y": ({"kind": "kspace", "data": K, "mask": torch.ones(12)}, ShapeError, "along x"),
    "mask shape": ({"kind": "kspace", "data": K, "mask": torch.ones(9, 10)}, ShapeError, "12, 10"),
    "mask values": ({"kind": "image", "data": IMAGE, "mask": 0.5 * IMAGE}, DataError, "threshold"),
    "mask of nothing": ({"kind": "image", "data": IMAGE, "mask": 0 * IMAGE}, DataError, "zero"),
    "samples unmasked": ({"kind": "kspace", "data": K, "mask": HALF}, DataError, "multiply"),
    "maps shape": ({"kind": "kspace", "data": K, "maps": K[:1]}, ShapeError, "maps"),
    "maps NaN": ({"kind": "kspace", "data": K, "maps": K * torch.nan}, DataError, "maps"),
    "maps of image": ({"kind": "image", "data": IMAGE, "maps": K}, OptionError, "coils"),
    "psf of image": ({"kind": "image", "data": IMAGE, "psf": IMAGE}, OptionError, "sky"),
    "noise zero": ({"kind": "image", "data": IMAGE, "noise": 0.0}, DataError, "sigma > 0"),
    "noise negative": ({"kind": "image", "data": IMAGE, "noise": -1.0}, DataError, "sigma > 0"),
    "noise NaN": ({"kind": "image", "data": IMAGE, "noise": IMAGE * torch.nan}, DataError, "noise"),
    "noise shape": ({"kind": "image", "data": IMAGE, "noise": torch.ones(7)}, ShapeError, "noise"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_that_names_the_repair(name: str) -> None:
    arguments, error, words = BAD[name]
    with pytest.raises(error, match=words) as caught:
        Measurement(**arguments)
    assert "\n" not in str(caught.value)


def test_what_a_likelihood_lacks_is_named() -> None:
    with pytest.raises(DataError, match="espirit"):
        Measurement(kind="kspace", data=K).likelihood()
    with pytest.raises(DataError, match="psf="):
        Measurement(kind="sky", data=IMAGE, noise=1.0).likelihood()


def test_noise_may_be_missing_where_nothing_was_measured() -> None:
    sigma, mask = torch.ones(12, 10), torch.ones(12, 10)
    sigma[0], mask[0] = 0, 0
    likelihood = Measurement(kind="image", data=IMAGE, noise=sigma, mask=mask).likelihood()
    assert torch.isfinite(likelihood.score(torch.zeros(12, 10))).all()


def test_an_array_of_numpy_is_told_how_it_becomes_a_tensor() -> None:
    with pytest.raises(DataError, match="to_tensor"):
        Measurement(kind="image", data=torch.ones(3, 3).numpy())  # type: ignore[arg-type]


def test_it_is_shown_in_one_line_without_its_values() -> None:
    whole = replace(scan(), noise=0.25, provenance={"file": "Doe_Jane.h5"})
    assert repr(whole) == "Measurement(kspace (3, 24, 20), noise 0.25, maps (3, 24, 20))"
    assert "noise (1, 1)" in repr(replace(whole, noise=torch.ones(1, 1)))
