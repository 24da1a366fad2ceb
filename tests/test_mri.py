"""The door of MRI: arrays, files and measurements in; laws, and what is refused."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import rimaging
from rimaging import mri
from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, FormatError, OptionError, ShapeError, WeightsError
from rimaging.mri.measured import left_over
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.coils import expand_coils
from rimaging.operators.espirit import espirit
from rimaging.operators.fourier import centred_fft
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.noncartesian import NonCartesianMRI
from rimaging.operators.trajectories import radial, stack_of_stars
from rimaging.reconstruction import Reconstruction

SIZE = 32
SIGMA = 0.01


def coil_maps(coils: int = 4) -> Tensor:
    """Smooth maps with ``sum |S|^2 = 1``: coils around the object."""
    axis = torch.linspace(-1, 1, SIZE)
    angles = 2 * torch.pi * torch.arange(coils) / coils
    maps = []
    for angle in angles:
        y, x = axis[:, None] - torch.sin(angle), axis - torch.cos(angle)
        maps.append(torch.exp(-(y**2 + x**2) / 2) * torch.exp(1j * (y + x * angle)))
    stacked = torch.stack(maps)
    return (stacked / stacked.abs().square().sum(0).sqrt()).to(torch.complex64)


def scene() -> Tensor:
    axis = torch.linspace(-1, 1, SIZE)
    radius = torch.hypot(axis[:, None], axis)
    return ((radius < 0.8) * (1 - radius / 2)).to(torch.complex64)


def lines() -> Tensor:
    mask = torch.zeros(SIZE)
    mask[::2] = 1
    mask[8:24] = 1
    return mask


def scan(slices: int = 0) -> Tensor:
    operator = CartesianMRI(coil_maps(), lines().expand(SIZE, SIZE))
    clean = operator(scene().expand(slices, SIZE, SIZE) if slices else scene())
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(*clean.shape, 2, generator=generator)
    return clean + SIGMA * torch.view_as_complex(noise) * operator.mask


def error(image: Tensor | np.ndarray) -> float:
    x = scene().abs()
    return float((torch.as_tensor(image).abs() - x).norm() / x.norm())


def test_numpy_in_numpy_out_and_torch_in_torch_out(complex_weights: Path) -> None:
    kspace = scan()
    given = {"maps": coil_maps(), "noise": SIGMA, "weights": complex_weights}
    as_torch = mri.reconstruct(kspace, lines(), **given)
    as_numpy = mri.reconstruct(kspace.numpy(), lines().numpy(), **given)
    assert isinstance(as_torch.image, Tensor) and isinstance(as_numpy.image, np.ndarray)
    assert isinstance(as_numpy.residual, np.ndarray)
    assert np.array_equal(as_torch.image.numpy(), as_numpy.image)
    assert as_torch.image.dtype == torch.complex64 and as_torch.image.shape == (SIZE, SIZE)
    doubled = mri.reconstruct(kspace.to(torch.complex128), lines(), **given)
    assert doubled.image.dtype == torch.complex64


@pytest.mark.parametrize("exponent", [-60, -40, 20, 40, 60])
@pytest.mark.parametrize("noise", [None, SIGMA])
def test_any_unit_gives_the_same_image_in_that_unit(
    noise: float | None, exponent: int, complex_weights: Path
) -> None:
    kspace, c = scan(), 2.0**exponent
    given = {"weights": complex_weights, "keep_steps": True, "error_map": 2}
    one = mri.reconstruct(kspace, noise=noise, **given)
    other = mri.reconstruct(c * kspace, noise=None if noise is None else c * noise, **given)
    assert torch.equal(other.image, c * one.image)
    assert torch.equal(other.uncertainty, c * one.uncertainty)
    assert torch.equal(other.residual, one.residual)
    assert all(torch.equal(b, c * a) for a, b in zip(one.steps, other.steps, strict=True))


@pytest.mark.parametrize("method", ["rim", "cg-sense", "l1-wavelet", "tv", "grappa"])
@pytest.mark.parametrize("add_residual", [False, True])
def test_maps_of_any_size_give_the_image_in_their_units(
    method: Any, add_residual: bool, complex_weights: Path
) -> None:
    """``S x = (c S) (x / c)``: NLINV's, JSENSE's and measured maps are of any size."""

    def found(size: float, error_map: int | None = None) -> Reconstruction:
        return mri.reconstruct(
            scan(),
            None,
            size * coil_maps(),
            SIGMA,
            complex_weights,
            method=method,
            add_residual=add_residual,
            error_map=error_map,
            keep_steps=True,
        )

    plain, other = found(1, 2), found(2.0**10, 2)
    assert torch.equal(2.0**10 * torch.as_tensor(other.image), torch.as_tensor(plain.image))
    for name in ("uncertainty", "steps"):
        one, same = (getattr(result, name) for result in (plain, other))
        one, same = (v[0] if isinstance(v, list) else v for v in (one, same))
        assert torch.equal(2.0**10 * torch.as_tensor(same), torch.as_tensor(one))
    assert other.chi2 == plain.chi2
    assert other.measurement is not None and other.measurement.maps is not None
    assert torch.equal(other.measurement.maps, 2.0**10 * coil_maps())
    if method != "rim":  # a network that never learned knows no size
        assert error(30 * torch.as_tensor(found(30).image)) < 0.12


def test_slices_are_independent(complex_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kspace = scan(3)
    given = {"maps": coil_maps(), "noise": SIGMA, "weights": complex_weights}
    together = mri.reconstruct(kspace, **given)
    monkeypatch.setattr("rimaging.datasets.pieces.CPU_PIECE", 1)  # one slice at a time
    piecewise = mri.reconstruct(kspace, **given)
    assert torch.allclose(together.image, piecewise.image, atol=1e-5)
    assert piecewise.chi2 == pytest.approx(together.chi2, rel=1e-4)
    alone = mri.reconstruct(kspace[1], **given)
    assert torch.allclose(together.image[1], alone.image, atol=1e-5)


@pytest.mark.parametrize("method", ["zero-filled", "cg-sense", "l1-wavelet", "tv", "grappa"])
def test_the_classical_methods_see_the_object(method: str) -> None:
    result = mri.reconstruct(scan(), noise=SIGMA, maps=coil_maps(), method=method)  # type: ignore[arg-type]
    assert error(result.image) < 0.15
    assert result.provenance["method"] == method and "weights" not in result.provenance


def test_maps_are_estimated_where_there_are_none() -> None:
    known = mri.reconstruct(scan(), noise=SIGMA, maps=coil_maps(), method="cg-sense")
    found = mri.reconstruct(scan(), noise=SIGMA, method="cg-sense")
    assert any("ESPIRiT" in note for note in found.provenance["assumed"])
    assert error(found.image) < error(known.image) + 0.1


def test_two_sets_give_one_image_of_the_same_brightness(complex_weights: Path) -> None:
    one = mri.reconstruct(scan(), noise=SIGMA, weights=complex_weights)
    two = mri.reconstruct(scan(2), noise=SIGMA, sets=2, weights=complex_weights)
    assert two.image.shape == (2, SIZE, SIZE) and two.image.is_complex()
    assert float(two.image[0].abs().sum() / one.image.abs().sum()) == pytest.approx(1, abs=0.1)


def test_sets_combine_as_root_sum_of_squares() -> None:
    x = torch.randn(3, 2, 4, 4, dtype=torch.complex64)
    image = mri.combine(x)
    assert torch.allclose(image.abs(), x.abs().square().sum(1).sqrt())
    assert torch.allclose(image.angle(), x[:, 0].angle(), atol=1e-5)


@pytest.mark.parametrize("sets", [1, 2])
def test_what_was_measured_is_kept(sets: int) -> None:
    """Coil images with the measured samples are the data there, whatever the estimate was."""
    full = mri.reconstruct(
        coil_images := centred_fft(coil_maps() * scene(), (-2, -1)),
        maps=coil_maps(),
        noise=SIGMA,
        method="zero-filled",
        add_residual=True,
    )
    assert torch.allclose(full.image, scene(), atol=1e-5)
    assert full.provenance["add_residual"] is True
    kept = mri.reconstruct(
        scan(), noise=SIGMA, sets=sets, method="tv", lamda=1.0, add_residual=True
    )
    blurred = mri.reconstruct(scan(), noise=SIGMA, sets=sets, method="tv", lamda=1.0)
    assert error(kept.image) < 0.5 * error(blurred.image)
    spectrum = centred_fft(kept.image.abs().to(torch.complex64), (-2, -1))
    true = centred_fft(scene(), (-2, -1))
    assert float((spectrum - true)[12:20, 12:20].abs().max()) < 0.1 * float(true.abs().max())
    # maps of another size change the image as they change every image
    large = mri.reconstruct(
        coil_images, maps=3 * coil_maps(), noise=SIGMA, method="cg-sense", add_residual=True
    )
    assert torch.allclose(3 * large.image, full.image, atol=0.02)


def test_an_ensemble_is_the_mean_of_its_turns(complex_weights: Path) -> None:
    given = {"maps": coil_maps(), "noise": SIGMA, "weights": complex_weights}
    one = mri.reconstruct(scan(), **given)
    eight = mri.reconstruct(scan(), ensemble=True, **given)
    assert eight.provenance["ensemble"] == 8
    assert not torch.equal(eight.image, one.image)
    assert error(eight.image) < 1.2 * error(one.image)


def test_zeros_at_the_edge_were_not_measured() -> None:
    kspace = scan()
    kspace[..., -4:] = 0
    mask = lines()
    partial = mri.reconstruct(kspace, mask, coil_maps(), SIGMA, method="cg-sense")
    assert any("not measured" in note for note in partial.provenance["assumed"])
    mask[-4:] = 0
    told = mri.reconstruct(kspace, mask, coil_maps(), SIGMA, method="cg-sense")
    assert torch.equal(partial.image, told.image)


def test_the_true_image_would_have_chi2_of_one() -> None:
    result = mri.reconstruct(scan(), maps=coil_maps(), noise=SIGMA, method="cg-sense", lamda=0.0)
    assert result.chi2 < 1.05
    assert result.residual.shape == scan().shape
    assert not bool((result.residual[..., lines() == 0] != 0).any())


def test_a_file_is_reconstructed_and_known_by_its_sha256(
    complex_weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "scan.npz"
    np.savez(path, kspace=scan(2).numpy(), mask=lines().numpy(), maps=coil_maps().numpy())
    result = mri.reconstruct(path, noise=SIGMA, weights=complex_weights)
    assert isinstance(result.image, np.ndarray) and result.image.shape == (2, SIZE, SIZE)
    assert result.provenance["input"]["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert "scan.npz" not in str(result.provenance)


def test_the_readout_oversampling_that_the_file_states_is_cropped() -> None:
    measurement = Measurement(
        kind="kspace",
        data=scan(),
        maps=coil_maps(),
        noise=SIGMA,
        provenance={"recon_size": [SIZE // 2, SIZE]},
    )
    cropped = mri.reconstruct(measurement, method="zero-filled")
    whole = mri.reconstruct(measurement, method="zero-filled", crop=False)
    assert torch.equal(cropped.image, whole.image[SIZE // 4 : 3 * SIZE // 4])


def test_a_real_brain(data_root: Path, complex_weights: Path) -> None:
    full = np.load(data_root / "mri/multicoil/brain_8ch_poisson_sigpy.npz")["ksp"]
    kspace = full[:, 75:155, 57:123]
    result = mri.reconstruct(kspace, weights=complex_weights)
    assert result.image.shape == (80, 66) and np.isfinite(result.image).all()
    assert len(result.provenance["assumed"]) == 3  # mask, noise, maps


REFUSED = {
    "mask of another size": (ShapeError, "mask", {"mask": torch.ones(SIZE + 1)}),
    "samples outside the mask": (DataError, "samples", {"mask": torch.eye(SIZE)}),
    "maps of another size": (ShapeError, "maps", {"maps": torch.ones(4, 8, 8) + 0j}),
    "maps without sets": (ShapeError, "sets=2", {"maps": coil_maps(), "sets": 2}),
    "no noise": (DataError, "noise", {"noise": 0.0}),
    "negative noise": (DataError, "noise", {"noise": -1.0}),
    "noise of another shape": (ShapeError, "noise", {"noise": torch.ones(3, 1, 1)}),
    "unknown weights": (WeightsError, "known are", {"weights": "nonsense"}),
    "absent weights": (WeightsError, "no weights", {"weights": "absent.safetensors"}),
    "unknown method": (OptionError, "zero-filled", {"method": "magic"}),
    "three sets": (OptionError, "sets", {"sets": 3}),
    "steps of another method": (OptionError, "iterations", {"method": "tv", "steps": 3}),
    "lamda of a RIM": (OptionError, "classical", {"lamda": 0.1}),
    "iterations of grappa": (OptionError, "lamda", {"method": "grappa", "iterations": 3}),
    "lamda of pocs": (OptionError, "iterations", {"method": "pocs", "lamda": 0.1}),
    "frames of one": (ShapeError, "frames", {"frames": True, "method": "cg-sense"}),
    "volume of slices": (ShapeError, "volume", {"volume": True}),
    "volume with frames": (OptionError, "volume=True", {"volume": True, "frames": True}),
    "turns of total variation": (OptionError, "has none", {"method": "tv", "ensemble": True}),
    "no steps": (OptionError, "at least 1", {"steps": 0}),
    "half a step": (OptionError, "whole number", {"steps": 1.5}),
    "half an iteration": (OptionError, "whole number", {"method": "tv", "iterations": 1.5}),
    "no iteration of tv": (OptionError, "iterations >= 1", {"method": "tv", "iterations": 0}),
    "no iteration": (OptionError, "iterations >= 1", {"method": "l1-wavelet", "iterations": -2}),
    "a penalty of NaN": (OptionError, "lamda", {"method": "tv", "lamda": float("nan")}),
    "half an adaptation": (OptionError, "whole number", {"adapt": 1.5}),
    "no calibration region": (OptionError, "from 6 on", {"calibration": 0}),
    "a negative region": (OptionError, "from 6 on", {"calibration": -1}),
    "complex noise": (DataError, "complex", {"noise": 0.01 + 0.01j}),
    "maps of other slices": (
        ShapeError,
        "for each slice",
        {"maps": coil_maps().expand(3, 4, SIZE, SIZE)},
    ),
    "unknown device": (OptionError, "does not exist", {"device": "abacus"}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str, complex_weights: Path) -> None:
    kind, words, arguments = REFUSED[case]
    given = {"weights": complex_weights, "noise": SIGMA, **arguments}
    kspace = scan(2) if case == "maps of other slices" else scan()
    with pytest.raises(kind, match=words):
        mri.reconstruct(kspace, **given)


@pytest.mark.parametrize("measured", [False, True])
def test_conjugates_and_double_precision_are_as_any_other(
    measured: bool, complex_weights: Path
) -> None:
    late, double = scan().conj(), scan().conj().to(torch.complex128)
    assert late.is_conj()
    given = [late.resolve_conj(), late, double]
    sources = [Measurement(kind="kspace", data=k) for k in given] if measured else given
    plain, *others = (
        torch.as_tensor(mri.reconstruct(k, weights=complex_weights).image) for k in sources
    )
    assert all(torch.equal(other, plain) for other in others)


@pytest.mark.parametrize("kind", [np.float32, torch.tensor, np.array])
def test_the_noise_of_a_volume_is_a_number_of_any_kind(kind: Any, complex_weights: Path) -> None:
    volume = torch.stack([scan()] * 3, dim=1)
    maps = coil_maps()[:, None].expand(-1, 3, -1, -1)
    plain, other = (
        mri.reconstruct(volume, None, maps, noise, complex_weights, volume=True).image
        for noise in (SIGMA, kind(SIGMA))
    )
    assert torch.equal(torch.as_tensor(plain), torch.as_tensor(other))


def test_bad_kspace_is_refused(complex_weights: Path, tmp_path: Path) -> None:
    broken = scan()
    broken[0, 3, 3] = torch.nan
    with pytest.raises(DataError, match="NaN"):
        mri.reconstruct(broken, weights=complex_weights)
    with pytest.raises(DataError, match="complex64"):
        mri.reconstruct(scan().abs(), weights=complex_weights)
    with pytest.raises(ShapeError, match="coil"):
        mri.reconstruct(scan()[0], weights=complex_weights)
    with pytest.raises(FormatError, match="does not exist"):
        mri.reconstruct(tmp_path / "absent.h5", weights=complex_weights)
    with pytest.raises(OptionError, match="expected k-space"):
        image = Measurement(kind="image", data=torch.rand(8, 8))
        mri.reconstruct(image, weights=complex_weights)


def test_without_a_calibration_region_maps_are_asked_for() -> None:
    sparse = scan()
    sparse[..., 10:15] = 0
    with pytest.raises(DataError, match="give maps="):
        mri.reconstruct(sparse, noise=SIGMA, method="cg-sense")


def test_weights_for_real_images_are_refused(real_weights: Path) -> None:
    with pytest.raises(ShapeError, match="real images"):
        mri.reconstruct(scan(), noise=SIGMA, weights=real_weights)


def test_partial_fourier_is_completed_by_pocs() -> None:
    operator = CartesianMRI(coil_maps())
    kspace = operator(scene())
    kspace[..., : SIZE // 4] = 0
    given = {"maps": coil_maps(), "noise": SIGMA}
    plain = mri.reconstruct(kspace, method="zero-filled", **given)
    ours = mri.reconstruct(kspace, method="pocs", **given)
    assert error(ours.image) < 0.7 * error(plain.image)
    assert ours.provenance["settings"] == {"iterations": 3}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_is_its_slices(axis: int) -> None:
    generator = torch.Generator().manual_seed(2)
    weights = 1 + torch.rand(3, generator=generator)
    maps = coil_maps().expand(3, -1, -1, -1)
    planes = CartesianMRI(maps, lines().expand(SIZE, SIZE))(weights[:, None, None] * scene())
    # columns are undersampled, rows full as well: planes (a, b) lie across the axis of three
    mask = lines().expand(3, SIZE, SIZE).movedim(0, axis)
    kspace = centred_fft(planes.movedim(0, axis + 1), (axis + 1,))
    given = {"noise": SIGMA, "method": "cg-sense"}
    result = mri.reconstruct(
        kspace.numpy(),
        mask.numpy(),
        maps.movedim(0, axis + 1).numpy(),
        volume=True,
        **given,
    )
    slices = mri.reconstruct(planes, lines(), coil_maps(), **given)
    assert isinstance(result.image, np.ndarray)
    # rows were sampled fully too; cut across them, the same image is found
    expected = slices.image.movedim(0, axis)
    assert np.allclose(result.image, expected.numpy(), atol=2e-3)
    assert result.residual.shape == kspace.shape
    assert result.chi2 == pytest.approx(slices.chi2, rel=0.05)


def test_frames_share_the_maps_of_their_average() -> None:
    frames = torch.stack([scan(), scan()])
    given = {"noise": SIGMA, "method": "cg-sense"}
    together = mri.reconstruct(frames, lines(), frames=True, **given)
    maps = espirit(scan(), lines().expand(SIZE, SIZE), crop=0.8)
    apart = mri.reconstruct(frames, lines(), maps, **given)
    assert torch.allclose(together.image, apart.image, atol=1e-4)
    assert any("2 frames averaged" in note for note in together.provenance["assumed"])


def test_undersampling_is_named() -> None:
    full = CartesianMRI(coil_maps())(scene())
    given = {"maps": coil_maps(), "noise": SIGMA, "method": "zero-filled"}
    left_out = mri.undersample(full, lines())
    again = mri.reconstruct(left_out, maps=coil_maps(), noise=SIGMA, method="zero-filled")
    said = [
        result.provenance["input"]["sampling"]
        for result in (again, mri.reconstruct(scan(), **given), mri.reconstruct(full, **given))
    ]
    assert said == ["retrospective", "prospective", "full"]


def test_the_package_has_the_door() -> None:
    assert rimaging.mri.reconstruct is mri.reconstruct


SPOKES = radial((SIZE, SIZE), 24, 48)


def along_spokes(slices: int = 0) -> Tensor:
    operator = NonCartesianMRI(coil_maps(), SPOKES)
    clean = operator(scene().expand(slices, SIZE, SIZE) if slices else scene())
    noise = torch.randn(*clean.shape, 2, generator=torch.Generator().manual_seed(1))
    return clean + SIGMA * torch.view_as_complex(noise)


@pytest.mark.parametrize("method", ["rim", "cg-sense"])
def test_radial_k_space_is_reconstructed_without_being_told_more(
    method: str, complex_weights: Path
) -> None:
    given = {"noise": SIGMA, "method": method, "weights": complex_weights}
    kspace = along_spokes(2)
    result = mri.reconstruct(kspace, trajectory=SPOKES, **given)  # type: ignore[arg-type]
    assert result.image.shape == (2, SIZE, SIZE)
    assert any("ESPIRiT" in note for note in result.provenance["assumed"])
    if method != "rim":
        assert error(result.image[0]) < 0.2
    arrays = mri.reconstruct(
        kspace[0].flatten(-2).numpy(),
        trajectory=SPOKES.flatten(0, 1).numpy() / SIZE,  # cycles per pixel, one long shot
        image_shape=(SIZE, SIZE),
        **given,  # type: ignore[arg-type]
    )
    assert isinstance(arrays.image, np.ndarray)
    assert np.allclose(arrays.image, result.image[0].numpy(), atol=2e-2)


def test_radial_slices_are_independent_and_scale(
    complex_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {"trajectory": SPOKES, "maps": coil_maps(), "weights": complex_weights}
    together = mri.reconstruct(along_spokes(2), noise=SIGMA, **given)
    louder = mri.reconstruct(2.0**20 * along_spokes(2), noise=2.0**20 * SIGMA, **given)
    assert torch.allclose(louder.image / 2.0**20, together.image, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr("rimaging.datasets.pieces.CPU_PIECE", 1)
    piecewise = mri.reconstruct(along_spokes(2), noise=SIGMA, **given)
    assert torch.allclose(together.image, piecewise.image, atol=1e-4)
    assert "zero-filled" in piecewise.report(tmp_path / "page.html").read_text()


def test_a_volume_along_a_trajectory_needs_its_maps(complex_weights: Path) -> None:
    k = stack_of_stars((4, 12, 10), 12, 20)
    maps = torch.ones(1, 4, 12, 10) + 0j
    x = torch.zeros(4, 12, 10) + 0j
    x[1:3, 3:9, 2:8] = 1
    kspace = NonCartesianMRI(maps, k)(x)
    given = {"trajectory": k, "image_shape": (4, 12, 10), "noise": SIGMA}
    result = mri.reconstruct(kspace, weights=complex_weights, **given)
    assert result.image.shape == (4, 12, 10)
    solved = mri.reconstruct(kspace, method="cg-sense", **given)
    assert float((solved.image - x).norm() / x.norm()) < 0.2
    with pytest.raises(DataError, match="give maps="):
        mri.reconstruct(kspace.expand(3, *kspace.shape[1:]), method="cg-sense", **given)


@pytest.mark.parametrize("sets", [1, 2])
def test_a_trajectory_keeps_its_samples(sets: int) -> None:
    asked = {"trajectory": SPOKES, "noise": SIGMA, "method": "tv", "lamda": 1.0, "sets": sets}
    blurred = mri.reconstruct(along_spokes(), **asked)
    kept = mri.reconstruct(along_spokes(), **asked, add_residual=True)
    assert error(kept.image) < 0.6 * error(blurred.image)
    # of the coil images themselves, whatever was kept is explained
    maps, x = coil_maps(), 0.3 * scene()
    operator = NonCartesianMRI(maps, SPOKES)
    likelihood = Gaussian(operator, operator(scene()), SIGMA)
    explained = expand_coils(maps, x, False, 2) + left_over(x, likelihood)
    left = operator.nufft(explained).unflatten(-1, SPOKES.shape[:2]) - likelihood.y
    assert float(left.norm()) < 0.03 * float((operator(x) - likelihood.y).norm())


def test_a_trajectory_that_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="leave out"):
        mri.reconstruct(along_spokes(), mask=torch.ones(24, 48), trajectory=SPOKES)
    with pytest.raises(ShapeError, match="shot, sample"):
        mri.reconstruct(along_spokes(), trajectory=SPOKES[:, :40])
    with pytest.raises(OptionError, match="trajectory="):
        mri.reconstruct(scan(), image_shape=(SIZE, SIZE))


@pytest.mark.parametrize("workers", [False, True])
def test_grappa_learns_from_maps_where_its_lines_are_a_scan_apart(
    workers: bool, tmp_path: Path
) -> None:
    kspace = scan(2)
    kspace[..., 1::2] = 0
    apart = Measurement(kind="kspace", data=kspace, maps=coil_maps(), noise=SIGMA)
    if workers:
        asked = mri.Scan(kspace=apart, method="grappa")
        mri.reconstruct_to(asked, tmp_path / "out.npz")
        image = torch.from_numpy(np.load(tmp_path / "out.npz")["image"])
    else:
        image = mri.reconstruct(apart, method="grappa").image
    zero_filled = mri.reconstruct(apart, method="zero-filled").image
    assert error(image) < 0.3 * error(zero_filled)
