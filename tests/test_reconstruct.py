"""Laws of the one way through the house: pieces, residuals, devices, weights, saving."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rimaging import method
from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, FormatError, OptionError, ShapeError, WeightsError
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.poisson import Poisson
from rimaging.operators.target import gaussian_psf
from rimaging.reconstruct import reconstruct, weighted_residual
from rimaging.reconstruction import Reconstruction, like

SHAPE = (2, 3, 16, 18)


def stack() -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


def picture(noise: float | Tensor = 0.1, mask: Tensor | None = None) -> Measurement:
    return Measurement(kind="image", data=stack(), noise=noise, mask=mask)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
def test_pieces_give_what_the_whole_gives(
    shared: bool, real_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = () if shared else SHAPE[:2]
    noise = 0.1 + 0.1 * torch.rand(*lead, 1, 1)
    mask = (torch.rand(*lead, *SHAPE[2:]) > 0.2).float()
    measurement = picture(noise, mask)
    whole = reconstruct(measurement, real_weights, keep_steps=True)
    monkeypatch.setattr("rimaging.datasets.pieces.CPU_PIECE", 1)
    parts = reconstruct(measurement, real_weights, keep_steps=True)
    assert torch.allclose(whole.image, parts.image, atol=1e-6)
    assert torch.allclose(whole.residual, parts.residual, atol=1e-4)
    assert parts.chi2 == pytest.approx(whole.chi2, rel=1e-4)
    assert parts.diagnostics.changes == pytest.approx(whole.diagnostics.changes, rel=1e-4)
    assert [step.shape for step in parts.steps] == [torch.Size(SHAPE)] * 2


def test_a_likelihood_goes_the_same_way_and_stays_as_it_was(real_weights: Path) -> None:
    measurement = picture()
    likelihood = measurement.likelihood()
    before = {name: value.clone() for name, value in likelihood.named_buffers()}
    result = reconstruct(likelihood, real_weights)
    assert torch.equal(result.image, reconstruct(measurement, real_weights).image)
    assert all(torch.equal(before[n], value) for n, value in likelihood.named_buffers())


def test_the_result_can_be_trained_through(real_weights: Path) -> None:
    """No tensor of inference mode leaves the house."""
    image = reconstruct(picture(), real_weights).image
    weight = torch.ones((), requires_grad=True)
    (weight * image).sum().backward()
    assert weight.grad is not None


def test_chi2_is_that_of_the_likelihood(real_weights: Path) -> None:
    mask = (torch.rand(SHAPE[2:]) > 0.5).float()
    measurement = picture(0.1, mask)
    result = reconstruct(measurement, real_weights)
    own = measurement.likelihood().chi2(result.image)  # equal counts in all items
    assert result.chi2 == pytest.approx(float(own.mean()), rel=1e-4)
    assert not bool((result.residual * (1 - mask)).any())


def test_residuals_are_in_units_of_the_noise() -> None:
    generator = torch.Generator().manual_seed(1)
    blur = Convolution(gaussian_psf(2.0), (64, 64), "reflect")
    x = 50 + 20 * torch.rand(64, 64, generator=generator)
    clean = blur(x)
    y = clean + 0.3 * torch.randn(clean.shape, generator=generator)
    residual, measured = weighted_residual(Gaussian(blur, y, 0.3), x)
    assert float(residual.std()) == pytest.approx(1, abs=0.05) and bool(measured.all())
    counts = torch.poisson(clean + 5, generator=generator)
    residual, _ = weighted_residual(Poisson(blur, counts, 5.0), x)
    assert float(residual.std()) == pytest.approx(1, abs=0.05)


def test_provenance_says_what_was_done(real_weights: Path) -> None:
    result = reconstruct(picture(), real_weights, steps=3)
    weights = result.provenance["weights"]
    assert weights["name"] == "tiny" and len(weights["sha256"]) == 64
    assert result.provenance["steps"] == 3 and result.provenance["seconds"] >= 0
    assert result.provenance["rimaging"] and result.provenance["assumed"] == []
    assert result.steps == [] and len(result.diagnostics.changes) == 2
    assert "rim tiny" in repr(result)


def test_weights_are_loaded_once_and_again_when_the_file_changes(
    real_weights: Path, complex_weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    shutil.copy(real_weights, path)
    place = torch.device("cpu")
    first, _ = method.load_rim(path, place)
    assert method.load_rim(path, place)[0] is first
    shutil.copy(complex_weights, path)
    assert method.load_rim(path, place)[0].config.complex


def test_more_than_the_memory_is_refused_before_it_is_tried(
    real_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rimaging.datasets.pieces.available", lambda: 1000.0)
    with pytest.raises(ShapeError, match="overlapping parts"):
        reconstruct(picture(), real_weights)


def test_saved_files_hold_image_residual_and_provenance(real_weights: Path, tmp_path: Path) -> None:
    result = reconstruct(picture(), real_weights)
    path = result.save(tmp_path / "out.npz")
    with np.load(path) as saved:
        assert np.array_equal(saved["image"], result.image)
        assert np.array_equal(saved["residual"], result.residual)
        assert "tiny" in str(saved["provenance"])
    with pytest.raises(FormatError, match="exists"):
        result.save(path)
    result.save(path, overwrite=True)


def test_the_report_is_one_page_that_tells_the_facts(real_weights: Path, tmp_path: Path) -> None:
    small = Measurement(kind="image", data=stack()[0, 0], noise=0.1, provenance={"file": "<b>.png"})
    result = reconstruct(small, real_weights)
    page = result.report(tmp_path / "report.html").read_text()
    assert "chi2" in page and "tiny" in page and "&lt;b&gt;.png" in page
    assert "observed" in page and str(tmp_path) not in page
    shown = result._repr_html_()
    assert shown.startswith("<figure>") and "data:image/png;base64," in shown
    alone = dataclasses.replace(result, measurement=None)
    assert "Residual" in alone.report(tmp_path / "alone.html").read_text()


def test_what_cannot_be_is_refused(real_weights: Path, tmp_path: Path) -> None:
    for steps in (0, -1):
        with pytest.raises(OptionError, match="at least 1"):
            reconstruct(picture(), real_weights, steps=steps)
    for device in ("abacus", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(OptionError, match="use"):
            reconstruct(picture(), real_weights, device=device)
    with pytest.raises(WeightsError, match="no weights"):
        reconstruct(picture(), tmp_path / "absent.safetensors")
    with pytest.raises(DataError, match="PSF"):
        reconstruct(Measurement(kind="sky", data=stack(), noise=0.1), real_weights)
    double = Gaussian(Identity(SHAPE[2:], torch.float64), stack().double(), 0.1)
    with pytest.raises(DataError, match="single precision"):
        reconstruct(double, real_weights)


def test_a_result_that_is_not_finite_is_no_result(real_weights: Path) -> None:
    with pytest.raises(DataError, match="finite"):
        reconstruct(Measurement(kind="image", data=1e30 * stack(), noise=1e-9), real_weights)


def test_numpy_comes_of_arrays_and_paths_and_torch_of_tensors(real_weights: Path) -> None:
    result = reconstruct(picture(), real_weights, keep_steps=True)
    assert isinstance(like(result, stack()).image, Tensor)
    numpy: Reconstruction = like(result, stack().numpy())
    arrays = [numpy.image, numpy.residual, *numpy.steps]
    assert all(isinstance(array, np.ndarray) for array in arrays)


def test_a_likelihood_in_double_precision_is_refused(real_weights: Path) -> None:
    single, double = torch.ones(3, 3) / 9, torch.ones(3, 3, dtype=torch.float64) / 9
    y = torch.rand(8, 6)
    for kernel, data in ((double, y), (single, y.double())):
        with pytest.raises(DataError, match="single precision"):
            reconstruct(Gaussian(Convolution(kernel, (8, 6)), data, 0.1), real_weights)
