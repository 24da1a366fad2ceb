"""Photon and read noise, full pixels."""

from __future__ import annotations

import pytest
import torch

from rimaging.datasets.detector import Detector, without_saturated
from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, OptionError
from rimaging.operators.identity import Identity


def test_the_likelihood_has_the_noise_of_photons_and_reading() -> None:
    """Pearson's chi2 of the truth is 1 where star, sky and read noise all count."""
    generator = torch.Generator().manual_seed(2)
    gain, read, sky = 2.5, 6.0, torch.full((1, 1), 8.0)
    truth = torch.linspace(0, 200, 120 * 120).reshape(120, 120)
    electrons = torch.poisson(gain * (truth + sky), generator=generator)
    data = (electrons + read * torch.randn(truth.shape, generator=generator)) / gain
    detector = Detector(gain, read)
    piece = detector.electrons(Measurement(kind="sky", data=data), sky)
    likelihood = detector.likelihood(Identity((120, 120), torch.float32), piece)
    assert float(likelihood.chi2(gain * truth)) == pytest.approx(1, abs=0.03)
    assert float(likelihood.background[0, 0]) == pytest.approx(gain * 8 + read**2)
    assert float(likelihood.chi2(gain * truth + 20)) > 1.5


def test_a_sky_that_was_taken_off_counts_as_read_noise_as_the_message_says() -> None:
    """The electrons and their variance are those of the image that still has its sky."""
    gain, read, sky = 2.5, 6.0, 40.0
    truth = torch.linspace(0, 200, 30 * 30).reshape(30, 30)
    whole, taken = (Measurement(kind="sky", data=truth + level) for level in (sky, 0.0))
    with pytest.raises(DataError, match=r"add the sky .* sqrt\(gain \* sky \+ read_noise\^2\)"):
        Detector(gain).electrons(taken, torch.zeros(1, 1))
    known = Detector(gain, read).electrons(whole, torch.full((1, 1), sky))
    told = Detector(gain, (gain * sky + read**2) ** 0.5).electrons(taken, torch.zeros(1, 1))
    assert torch.allclose(known.data, told.data, atol=1e-3)
    assert torch.allclose(torch.as_tensor(known.noise), torch.as_tensor(told.noise))


def test_what_is_no_detector_is_refused() -> None:
    for values in ((0.0, 1.0), (1.0, -1.0), (float("nan"), 0.0)):
        with pytest.raises(OptionError):
            Detector(*values)
    dark = Measurement(kind="sky", data=torch.rand(5, 5))
    with pytest.raises(DataError, match="read_noise"):
        Detector(2.0).electrons(dark, torch.zeros(1, 1))


def test_full_pixels_are_masked_and_said() -> None:
    from astropy.io import fits

    data = torch.arange(16.0).reshape(4, 4)
    stated = Measurement(kind="sky", data=data, header=fits.Header({"SATURATE": 14.0}))
    found = without_saturated(stated, None)
    assert found.mask is not None and int((found.mask == 0).sum()) == 2
    assert "2 pixels at or above 14" in found.provenance["assumed"][0]
    given = without_saturated(replace_mask(stated), 10.0)
    assert given.mask is not None and int((given.mask == 0).sum()) == 7
    assert given.header is not None and given.header["SATURATE"] == 10.0
    assert stated.header is not None and stated.header["SATURATE"] == 14.0
    plain = Measurement(kind="sky", data=data)
    assert without_saturated(plain, None) is plain
    with pytest.raises(DataError, match="every pixel"):
        without_saturated(plain, -1.0)


def replace_mask(measurement: Measurement) -> Measurement:
    mask = torch.ones(4, 4)
    mask[0, 0] = 0
    return Measurement(kind="sky", data=measurement.data, mask=mask, header=measurement.header)
