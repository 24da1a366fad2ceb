"""The door of pictures: layouts, ranges, other operators, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import rimaging
from rimaging import image
from rimaging.errors import DataError, OptionError, ShapeError, WeightsError
from rimaging.image.methods import END_SHARE
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.nonlinear import Pointwise
from rimaging.operators.projection import RandomProjection
from rimaging.operators.resampling import Bicubic
from rimaging.operators.sampling import Sampling
from rimaging.operators.stack import stack
from rimaging.operators.target import gaussian_psf
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights, save_weights

SHAPE = (24, 20)
SIGMA = 0.1


def scene() -> Tensor:
    y, x = torch.linspace(-1, 1, SHAPE[0]), torch.linspace(-1, 1, SHAPE[1])
    return 0.5 + 0.4 * torch.sin(3 * y[:, None] + 2 * x)


def noisy(sigma: float = SIGMA) -> Tensor:
    return scene() + sigma * torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))


def test_numpy_in_numpy_out_and_torch_in_torch_out(real_weights: Path) -> None:
    as_torch = image.denoise(noisy(), SIGMA, real_weights)
    as_numpy = image.denoise(noisy().numpy().astype(">f8"), SIGMA, real_weights)
    assert isinstance(as_torch.image, Tensor) and isinstance(as_numpy.image, np.ndarray)
    assert np.array_equal(as_torch.image.numpy(), as_numpy.image)
    assert as_numpy.image.dtype == np.dtype("float32")


def test_denoising_is_the_rim_itself(real_weights: Path) -> None:
    rim, _ = load_weights(real_weights)
    result = image.denoise(noisy(), SIGMA, real_weights, keep_steps=True)
    likelihood = image.denoise(noisy(), SIGMA, rim).measurement.likelihood()  # type: ignore[union-attr]
    expected = rim(likelihood)
    assert torch.allclose(result.image, expected[-1])
    assert len(result.steps) == len(expected)
    assert all(torch.allclose(a, b) for a, b in zip(result.steps, expected, strict=True))


def test_scaling_image_and_noise_scales_the_answer(real_weights: Path) -> None:
    x = image.denoise(noisy(), SIGMA, real_weights).image
    scaled = image.denoise(4096 * noisy(), 4096 * SIGMA, real_weights).image
    assert torch.allclose(scaled, 4096 * x, rtol=1e-5)


@pytest.mark.parametrize("door", ["denoise", "deblur", "upscale"])
@pytest.mark.parametrize("kind", ["float", "uint8", "colour"])
def test_a_picture_of_a_batch_is_denoised_as_alone(
    door: str, kind: str, real_weights: Path
) -> None:
    """Also where nobody states the noise: it is that of each picture, and so is the span."""

    def found(pictures: Tensor) -> tuple[Tensor, Tensor]:
        if door == "deblur":
            result = image.deblur(pictures, gaussian_psf(2.0), None, real_weights, method="rim")
        elif door == "upscale":
            result = image.upscale(pictures, 2, None, real_weights, method="rim")
        else:
            result = image.denoise(pictures, None, real_weights)
        return torch.as_tensor(result.image), torch.as_tensor(result.residual)

    batch = torch.stack([noisy(0.01), noisy(0.2), 0.1 * noisy(0.05)])
    if kind == "uint8":
        batch = (127 * batch.clamp(0.02, 1.9)).to(torch.uint8)
    if kind == "colour":
        batch = batch[..., None] * torch.tensor([1.0, 0.9, 0.8])
    whole = found(batch)
    for place, picture in enumerate(batch):
        for part, alone in zip(whole, found(picture), strict=True):
            assert torch.allclose(part[place], alone, atol=1e-3 * float(alone.abs().max()))


@pytest.mark.parametrize("method", ["rim", "plug-and-play", "tv", "map"])
@pytest.mark.parametrize("exponent", [-80, 70])
def test_any_unit_will_do(method: Any, exponent: int, real_weights: Path) -> None:
    unit = 2.0**exponent
    weights = None if method in ("tv", "map") else real_weights
    plain = image.denoise(noisy(), SIGMA, weights, method=method)
    other = image.denoise(unit * noisy(), unit * SIGMA, weights, method=method)
    # noise of a thousandth to a million is computed as it is, elsewhere near one
    assert torch.allclose(
        torch.as_tensor(other.image) / unit, torch.as_tensor(plain.image), atol=1e-4
    )


def test_a_map_of_the_noise_is_laid_out_as_the_image(real_weights: Path) -> None:
    level = torch.full(SHAPE, SIGMA)
    flat = torch.as_tensor(image.denoise(noisy(), level, real_weights).image)
    one = image.denoise(noisy()[..., None], level[..., None], real_weights).image
    assert torch.equal(torch.as_tensor(one)[..., 0], flat)


@pytest.mark.parametrize("method", ["wiener", "richardson-lucy"])
def test_pieces_of_an_image_take_their_own_kernels(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = torch.stack([gaussian_psf(2.0), gaussian_psf(2.0).roll(1, 0)])
    both = torch.stack([noisy(), noisy().flip(0)])
    whole = image.deblur(both, kernels, SIGMA, method=method).image
    monkeypatch.setattr("rimaging.datasets.pieces.CPU_PIECE", 1)
    assert torch.equal(
        torch.as_tensor(image.deblur(both, kernels, SIGMA, method=method).image),
        torch.as_tensor(whole),
    )


def test_colour_comes_back_as_it_was_and_each_channel_alone(real_weights: Path) -> None:
    colour = torch.stack([noisy(), 2 * noisy(), 3 * noisy()], dim=-1)
    result = image.denoise(colour, SIGMA, real_weights)
    assert result.image.shape == colour.shape
    for channel in range(3):
        alone = image.denoise(colour[..., channel], SIGMA, real_weights).image
        assert torch.allclose(result.image[..., channel], alone, atol=1e-5)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_integers_keep_their_range_and_save_as_pictures(
    dtype: type, white: int, real_weights: Path, tmp_path: Path
) -> None:
    counts = np.rint(noisy().clamp(0, 1).numpy() * white).astype(dtype)
    result = image.denoise(counts, SIGMA * white, real_weights)
    assert any("clipped" in note for note in result.provenance["assumed"])
    floating = image.denoise(counts / white, SIGMA, real_weights, clip=(0, 1))
    assert np.allclose(result.image, floating.image * white, rtol=1e-3, atol=1e-3 * white)
    saved = rimaging.open(result.save(tmp_path / "out.png")).data
    assert np.allclose(saved * white, np.clip(result.image, 0, white), atol=0.51 * white / 255)


def test_colour_takes_the_weights_for_colour_and_a_file_is_its_array(tmp_path: Path) -> None:
    counts = np.rint(noisy().clamp(0, 1).numpy() * 255).astype(np.uint8)
    colour = np.stack([counts, counts[::-1], counts[:, ::-1]], axis=-1)
    for array, name in ((counts, "image"), (colour, "denoise-colour")):
        Image.fromarray(array).save(tmp_path / "picture.png")
        known = image.denoise(array, 255 * SIGMA)
        found = image.denoise(tmp_path / "picture.png", SIGMA)
        for result in (known, found):
            assert result.provenance["weights"]["name"] == name
            assert any("clipped" in note for note in result.provenance["assumed"])
        planes = known.image if array.ndim == 2 else np.moveaxis(known.image, -1, 0)
        assert np.allclose(255 * found.image, planes, atol=1e-2)
    assert image.denoise(colour, 25.0, method="tv").provenance["method"] == "tv"


DTYPES = ["uint8", "uint16", "float32", "float64"]
LAYOUTS = [(24, 20), (24, 20, 1), (24, 20, 3), (2, 24, 20, 3), (3, 24, 20), (2, 3, 24, 20)]


def laid_out(shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, float]:
    """A noisy array, and its white."""
    white = {"uint8": 255.0, "uint16": 65535.0}.get(dtype, 1.0)
    values = 0.1 + 0.8 * torch.rand(shape, generator=torch.Generator().manual_seed(1)).numpy()
    return (white * values).astype(dtype), white


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", LAYOUTS)
def test_a_layout_is_one_rule_for_arrays_files_and_all_dtypes(
    shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    array, white = laid_out(shape, dtype)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", image=array)
    known = image.denoise(array, SIGMA * white, keep_steps=True, clip=(0, white))
    name = "denoise-colour" if shape[-1] == 3 else "image"
    assert known.provenance["weights"]["name"] == name
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        found = image.denoise(path, SIGMA * white, keep_steps=True, clip=(0, white))
        assert found.provenance["weights"]["name"] == name
        assert np.array_equal(found.image, known.image)
        assert np.array_equal(found.residual, known.residual)
    assert known.residual.shape == known.steps[-1].shape == known.image.shape == shape
    seen = (array - np.asarray(known.image)) / (SIGMA * white)
    assert np.allclose(known.residual, seen, atol=2e-3)
    assert np.array_equal(np.load(known.save(tmp_path / "out.npy")), known.image)
    floating = image.denoise((array / white).astype("f4"), SIGMA, clip=(0, 1))
    assert np.allclose(known.image / white, floating.image, atol=2e-4)


@pytest.mark.parametrize("shape", [(2, 24, 20, 3), (3, 24, 20)])
def test_a_batch_is_each_picture_by_itself(shape: tuple[int, ...]) -> None:
    array, _ = laid_out(shape, "float32")
    whole = image.denoise(array, SIGMA)
    for one, expected in zip(array, whole.image, strict=True):
        assert np.allclose(image.denoise(one, SIGMA).image, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8, 4), (3, 8, 8, 2)])
def test_a_last_axis_of_two_or_four_is_refused_in_files_too(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape, np.float32))
    with pytest.raises(ShapeError, match="transparency"):
        image.denoise(tmp_path / "a.npy", SIGMA)


def test_uncertainty_and_upscaled_colour_have_the_layout_of_the_data(real_weights: Path) -> None:
    array, white = laid_out((24, 20, 3), "uint8")
    sure = image.denoise(array, SIGMA * white, real_weights, error_map=2)
    assert np.asarray(sure.uncertainty).shape == array.shape
    large = image.upscale(array, np.int64(2), weights=real_weights, steps=2)
    assert large.image.shape == (48, 40, 3) and large.residual.shape == array.shape


def test_what_is_assumed_of_integers_is_said_in_their_units(real_weights: Path) -> None:
    counts, _ = laid_out((24, 20), "uint8")
    for result in (
        image.denoise(counts, None, real_weights),
        image.deblur(counts, gaussian_psf(2.0), None, real_weights, steps=1),
    ):
        (note,) = [note for note in result.provenance["assumed"] if "estimated" in note]
        level = 255 * float(result.measurement.noise)  # type: ignore[union-attr, arg-type]
        assert level > 20 and float(note.split()[1]) == pytest.approx(level, rel=1e-3)
    large = image.upscale(counts, 2, weights=real_weights, steps=1)
    (note,) = [note for note in large.provenance["assumed"] if "span" in note]
    assert float(note.split()[1]) == pytest.approx(np.ptp(counts) / 255, rel=1e-3)


def test_masked_pixels_of_numpy_do_not_matter(real_weights: Path) -> None:
    hidden = np.zeros(SHAPE, bool)
    hidden[3:6, 4:9] = True
    results = []
    for value in (0.0, 1e6):
        pixels = np.where(hidden, value, noisy().numpy())
        result = image.denoise(np.ma.masked_array(pixels, hidden), SIGMA, real_weights)
        results.append(np.asarray(result.image))
        assert not np.asarray(result.residual)[hidden].any()
    assert np.array_equal(*results)


@pytest.mark.parametrize("method", ["rim", "plug-and-play", "tv"])
def test_each_channel_has_its_kernel_in_parts_too(
    method: Any, real_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colour = torch.stack([noisy(), noisy().flip(0), noisy().flip(1)], dim=-1)
    kernels = torch.stack([gaussian_psf(2.0).roll(i, 0) for i in range(3)])
    whole = image.deblur(colour, kernels, SIGMA, real_weights, method=method, steps=2)
    monkeypatch.setattr("rimaging.datasets.pieces.CPU_PIECE", 1)
    parts = image.deblur(colour, kernels, SIGMA, real_weights, method=method, steps=2)
    assert torch.allclose(parts.image, whole.image, atol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", [8, 16])
def test_sigma_of_a_file_is_relative_to_white(depth: int, tmp_path: Path) -> None:
    counts, _ = laid_out((24, 20), f"uint{depth}")
    Image.fromarray(counts).save(tmp_path / "a.png")
    path, white = tmp_path / "a.png", 2**depth - 1
    for wrong in (25.0, np.full((24, 20), 25.0)):
        for door in (image.denoise, lambda y, s: image.upscale(y, 2, s)):
            with pytest.raises(OptionError, match=f"--sigma 25/{white}"):
                door(path, wrong)
    found = image.denoise(path, 25 / white)
    assert np.allclose(white * np.asarray(found.image), image.denoise(counts, 25.0).image, atol=0.1)


def test_integers_away_from_black_and_white_are_not_taken_as_clipped(real_weights: Path) -> None:
    counts = np.rint(100 + 50 * noisy().clamp(0, 1).numpy()).astype(np.uint8)
    result = image.denoise(counts, 50 * SIGMA, real_weights)
    assert not any("clipped" in note for note in result.provenance["assumed"])
    floating = image.denoise(counts / 255, 50 * SIGMA / 255, real_weights)
    assert np.allclose(result.image, floating.image * 255, rtol=1e-3, atol=0.1)


def test_the_noise_is_estimated(real_weights: Path) -> None:
    result = image.denoise(noisy(), None, real_weights)
    assert float(result.measurement.noise) == pytest.approx(SIGMA, rel=0.3)  # type: ignore[union-attr, arg-type]
    assert any("estimated" in note for note in result.provenance["assumed"])


def test_a_picture_file(real_weights: Path, tmp_path: Path) -> None:
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 255, (16, 18, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "photo.png")
    result = image.denoise(tmp_path / "photo.png", 0.1, real_weights)
    assert isinstance(result.image, np.ndarray) and result.image.shape == (3, 16, 18)
    assert result.provenance["input"]["format"] == "PNG"


def test_deblurring_sharpens(real_weights: Path) -> None:
    kernel = gaussian_psf(3.0)
    clean = torch.zeros(SHAPE)
    clean[8:16, 6:14] = 1
    blurred = Convolution(kernel, SHAPE, "reflect")(clean)
    result = image.deblur(blurred, 4 * kernel.numpy(), 0.01, real_weights)
    assert (result.image - clean).norm() < 0.8 * (blurred - clean).norm()
    assert result.provenance["method"] == "plug-and-play"
    assert any("normalised" in note for note in result.provenance["assumed"])


def test_turns_begin_where_the_weights_for_blur_end_and_the_answer_is_between() -> None:
    kernel = gaussian_psf(3.0)
    clean = torch.zeros(SHAPE)
    clean[8:16, 6:14] = 1
    blurred = Convolution(kernel, SHAPE, "reflect")(clean)
    result = image.deblur(blurred, kernel, 0.01, keep_steps=True)
    assert result.provenance["start"]["name"] == "deblur"
    assert result.provenance["weights"]["name"] == "image" and len(result.steps) == 7
    direct = image.deblur(blurred, kernel, 0.01, method="rim")
    assert direct.provenance["weights"]["name"] == "deblur"
    between = torch.lerp(direct.image, result.steps[-2], END_SHARE)  # type: ignore[arg-type]
    assert torch.allclose(result.image, between, atol=1e-6)
    assert (result.image - clean).norm() < 1.1 * (direct.image - clean).norm()
    # an ensemble is one of where it begins, the turns are already turned
    eight = image.deblur(blurred, kernel, 0.01, ensemble=True, keep_steps=True)
    begin = image.deblur(blurred, kernel, 0.01, method="rim", ensemble=True)
    between = torch.lerp(begin.image, eight.steps[-2], END_SHARE)  # type: ignore[arg-type]
    assert torch.allclose(eight.image, between, atol=1e-6)


def test_upscaling_gives_an_image_that_shrinks_to_the_data(real_weights: Path) -> None:
    result = image.upscale(scene(), 2, weights=real_weights, steps=4)
    assert result.image.shape == (2 * SHAPE[0], 2 * SHAPE[1])
    small = Bicubic(result.image.shape, 2)(result.image)
    assert torch.allclose(small, scene(), atol=0.05)


@pytest.mark.parametrize("shape", [SHAPE, (2, *SHAPE)])
def test_any_operator_is_inverted(shape: tuple[int, ...], real_weights: Path) -> None:
    mask = (torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) > 0.3).float()
    hidden = Sampling(mask)
    result = image.restore(hidden(scene().expand(shape)), hidden, 0.01, real_weights, steps=3)
    assert result.image.shape == shape and result.measurement is None
    projection = RandomProjection(SHAPE, 200, "gaussian", 0)
    flat = image.restore(projection(scene()).numpy(), projection, 0.01, real_weights, steps=2)
    assert isinstance(flat.image, np.ndarray) and flat.image.shape == SHAPE
    assert flat.residual.shape == (200,)


def test_weights_of_the_operator_are_used_directly(real_weights: Path) -> None:
    blur = Convolution(gaussian_psf(2.0), SHAPE, "reflect")
    rim, _ = load_weights(real_weights)
    expected = rim(Gaussian(blur, noisy(), SIGMA))[-1]
    by_operator = image.restore(noisy(), blur, SIGMA, real_weights, method="rim")
    assert torch.allclose(by_operator.image, expected, atol=1e-6)
    by_kernel = image.deblur(noisy(), gaussian_psf(2.0), SIGMA, real_weights, method="rim")
    assert torch.allclose(by_kernel.image, expected, atol=1e-4)


REFUSED: dict[str, tuple[type[Exception], str, Any]] = {
    "no noise": (DataError, "noise", lambda w: image.denoise(noisy(), 0.0, w)),
    "negative noise": (DataError, "noise", lambda w: image.denoise(noisy(), -0.1, w)),
    "one axis": (ShapeError, "y, x", lambda w: image.denoise(noisy()[0], 0.1, w)),
    "transparency": (
        ShapeError,
        "transparency",
        lambda w: image.denoise(torch.rand(8, 8, 4), 0.1, w),
    ),
    "only NaN": (DataError, "nothing", lambda w: image.denoise(noisy() * torch.nan, 0.1, w)),
    "a flat image": (DataError, "noise-free", lambda w: image.denoise(torch.ones(9, 9), None, w)),
    "unknown weights": (WeightsError, "known", lambda w: image.denoise(noisy(), 0.1, "none")),
    "a kernel of NaN": (
        DataError,
        "NaN",
        lambda w: image.deblur(noisy(), torch.full((3, 3), torch.nan), 0.1, w),
    ),
    "a complex kernel": (
        DataError,
        "complex",
        lambda w: image.deblur(noisy(), torch.ones(3, 3) + 0j, 0.1, w),
    ),
    "a kernel with colour last": (
        ShapeError,
        "one kernel",
        lambda w: image.deblur(torch.rand(8, 8, 3), torch.ones(5, 5, 3), 0.1, w),
    ),
    "three kernels of one image": (
        ShapeError,
        "one kernel",
        lambda w: image.deblur(noisy(), torch.ones(3, 5, 5), 0.1, w),
    ),
    "half a repetition": (
        OptionError,
        "whole number",
        lambda w: image.denoise(noisy(), 0.1, w, error_map=2.5),  # type: ignore[arg-type]
    ),
    "colour weights on gray": (
        ShapeError,
        "colour",
        lambda w: image.denoise(noisy(), 0.1, "denoise-colour"),
    ),
    "weights of features on gray": (
        ShapeError,
        "colour",
        lambda w: image.denoise(noisy(), 0.1, "features"),
    ),
    "a constant image to enlarge": (
        DataError,
        "give sigma",
        lambda w: image.upscale(torch.ones(8, 8), 2, None, w),
    ),
    "unknown boundary": (
        OptionError,
        "reflect",
        lambda w: image.deblur(noisy(), torch.ones(3, 3), 0.1, w, boundary="edge"),
    ),
    "unknown method": (
        OptionError,
        "plug-and-play",
        lambda w: image.deblur(noisy(), torch.ones(3, 3), 0.1, w, method="magic"),
    ),
    "a broken scale": (OptionError, "whole", lambda w: image.upscale(noisy(), 1.5, None, w)),
    "y of another shape": (
        ShapeError,
        "measurement",
        lambda w: image.restore(torch.rand(5, 5), Sampling(torch.ones(SHAPE)), 0.1, w),
    ),
    "y with NaN": (
        DataError,
        "Sampling",
        lambda w: image.restore(noisy() * torch.nan, Sampling(torch.ones(SHAPE)), 0.1, w),
    ),
    "holes and no sigma": (
        OptionError,
        "sigma",
        lambda w: image.inpaint(noisy(), torch.ones(SHAPE), None, w),  # type: ignore[arg-type]
    ),
    "half a step": (OptionError, "whole", lambda w: image.denoise(noisy(), 0.1, w, steps=1.5)),
    "half a turn": (
        OptionError,
        "whole",
        lambda w: image.denoise(noisy(), 0.1, w, method="plug-and-play", steps=1.5),
    ),
    "a penalty of NaN": (
        OptionError,
        "lamda",
        lambda w: image.denoise(noisy(), 0.1, method="tv", lamda=float("nan")),
    ),
    "complex noise": (DataError, "complex", lambda w: image.denoise(noisy(), 0.1 + 0.1j, w)),
    "one end of a clip": (OptionError, "clip", lambda w: image.denoise(noisy(), 0.1, w, clip=(0,))),
    "a complex mask": (
        DataError,
        "complex",
        lambda w: image.inpaint(noisy(), torch.ones(SHAPE) + 0j, 0.1, w),
    ),
    "no operator": (
        OptionError,
        "rimaging.operators",
        lambda w: image.restore(noisy(), torch.ones(3, 3), 0.1, w),
    ),
    "an operator of signals": (
        ShapeError,
        r"\(y, x\)",
        lambda w: image.restore(torch.ones(12), Identity((12,)), 0.1, w),
    ),
    "an operator in double precision": (
        DataError,
        "float32",
        lambda w: image.restore(noisy(), Convolution(torch.ones(3, 3).double(), SHAPE), 0.1, w),
    ),
    "a complex operator": (
        DataError,
        "complex",
        lambda w: image.restore(
            torch.ones(1, 8, 8) + 0j, CartesianMRI(torch.ones(1, 8, 8) + 0j), 0.1, w
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str, real_weights: Path) -> None:
    kind, words, call = REFUSED[case]
    with pytest.raises(kind, match=words):
        call(real_weights)


def test_the_package_has_the_door() -> None:
    assert rimaging.image.denoise is image.denoise


def test_inpainting_keeps_what_is_known_and_ignores_what_is_not(real_weights: Path) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.rand(24, 20, generator=g)
    mask = (torch.rand(24, 20, generator=g) < 0.7).float()
    one = image.inpaint(x * mask, mask, 1e-3, weights=real_weights, steps=3).image
    other = image.inpaint(x + 9 * (1 - mask), mask, 1e-3, weights=real_weights, steps=3).image
    assert torch.equal(one, other)
    known = mask > 0
    assert float((one - x)[known].abs().max()) < 0.02
    with pytest.raises(ShapeError, match="mask"):
        image.inpaint(x, mask[:10], 1e-3, weights=real_weights)
    holes = torch.where(mask > 0, x, x.max())
    for wrong, said in ((1 - mask, "invert it"), (mask / 255, "no pixel above 0.5")):
        with pytest.raises(DataError, match=said):
            image.inpaint(holes, wrong, 1e-3, weights=real_weights)


@pytest.mark.parametrize("method", ["map", "tv", "wiener", "richardson-lucy"])
def test_classical_methods_stand_beside(method: Any, real_weights: Path) -> None:
    kernel = gaussian_psf(3.0)
    clean = torch.zeros(SHAPE)
    clean[8:16, 6:14] = 1
    blurred = Convolution(kernel, SHAPE, "reflect")(clean)
    result = image.deblur(blurred, kernel, 0.01, real_weights, method=method)
    assert (result.image - clean).norm() < 0.9 * (blurred - clean).norm()
    assert result.provenance["method"] == method
    assert "weights" not in result.provenance


@pytest.mark.parametrize("method", ["tv", "map"])
def test_a_hand_made_prior_is_a_fair_rival_as_it_comes(method: Any) -> None:
    def error(lamda: float | None) -> float:
        found = image.denoise(noisy(), SIGMA, method=method, lamda=lamda).image
        return float((torch.as_tensor(found) - scene()).square().mean().sqrt())

    best = min(error(lamda) for lamda in (0.1, 0.2, 0.4, 0.8, 1.6))
    assert error(None) < 1.25 * best  # with the weight that suits a blur it is 1.6 times as much


def test_map_keeps_its_steps_and_takes_operators_that_are_not_linear(real_weights: Path) -> None:
    detector = Pointwise(Convolution(gaussian_psf(2.0), SHAPE, "reflect"), torch.nn.Tanh())
    y = detector(scene())
    found = image.restore(y, detector, 0.001, method="map", steps=60, keep_steps=True)
    assert len(found.steps) == 60
    assert float((found.image - scene()).abs().mean()) < 0.05
    with pytest.raises(DataError, match="not linear"):
        image.restore(y, detector, 0.01, real_weights)


def test_the_ensemble_does_not_know_up_from_down(real_weights: Path) -> None:
    y = noisy()
    one = image.denoise(y, SIGMA, real_weights, ensemble=True)
    assert one.provenance["ensemble"] == 8
    turned = image.denoise(y.flip(-1).mT, SIGMA, real_weights, ensemble=True)
    assert torch.allclose(turned.image, one.image.flip(-1).mT, atol=1e-5)
    blur = image.deblur(y, gaussian_psf(2.0), SIGMA, real_weights, ensemble=True, steps=2)
    assert blur.image.shape == y.shape


def saved(folder: Path, operators: list[str], **settings: int) -> Path:
    torch.manual_seed(0)
    config = RIMConfig(steps=2, fine=4, coarse=4, initial_iterations=2, **settings)  # type: ignore[arg-type]
    save_weights(RIM(config), folder / "w.safetensors", {"operators": operators})
    return folder / "w.safetensors"


def test_weights_are_used_on_what_they_were_trained_for(tmp_path: Path) -> None:
    kernel = gaussian_psf(2.0)

    def method(weights: Path) -> str:
        return str(image.deblur(noisy(), kernel, SIGMA, weights, steps=2).provenance["method"])

    assert method(saved(tmp_path, ["convolution"])) == "rim"
    assert method(saved(tmp_path, ["bicubic"])) == "plug-and-play"
    weights = saved(tmp_path, ["identity", "bicubic"])
    assert method(weights) == "rim"  # trained for several: any will do
    assert image.upscale(scene(), 2, weights=weights).provenance["method"] == "rim"


def test_noise_decides_what_enlarges() -> None:
    small = scene()[..., :12, :12]
    span = float(small.max() - small.min())
    for sigma, name in (
        (None, "super-resolution"),
        (0.001, "super-resolution"),
        (0.02, "image-any"),
    ):
        result = image.upscale(small, 2, None if sigma is None else sigma * span)
        assert result.provenance["weights"]["name"] == name


def test_weights_that_couple_channels_get_them_all_at_once(tmp_path: Path) -> None:
    weights = saved(tmp_path, ["identity"], channels=3)
    rim, _ = load_weights(weights)
    colour = torch.stack([noisy(), 2 * noisy(), 3 * noisy()], dim=-1)
    result = image.denoise(colour, SIGMA, weights)
    planes = colour.movedim(-1, 0)
    expected = rim(Gaussian(Identity(SHAPE), planes, SIGMA))[-1]
    assert torch.allclose(result.image, expected.movedim(0, -1), atol=1e-5)
    assert result.measurement is not None


def test_settings_of_another_method_are_refused(real_weights: Path) -> None:
    with pytest.raises(OptionError, match="network"):
        image.denoise(noisy(), 0.1, method="map", ensemble=True)
    with pytest.raises(OptionError, match="lamda"):
        image.denoise(noisy(), 0.1, real_weights, lamda=0.1)
    with pytest.raises(OptionError, match="undoes a blur"):
        image.denoise(noisy(), 0.1, method="wiener")


def test_an_operator_that_is_trained_is_inverted_without_its_gradient(
    recwarn: pytest.WarningsRecorder,
) -> None:
    kernel = (torch.ones(3, 3) / 9).requires_grad_()
    operator = Convolution(kernel, SHAPE, "reflect")
    plain = Convolution(kernel.detach(), SHAPE, "reflect")
    one, other = (image.restore(noisy(), a, 0.1, method="map", steps=3) for a in (operator, plain))
    assert torch.equal(torch.as_tensor(one.image), torch.as_tensor(other.image))
    assert not torch.as_tensor(one.image).requires_grad and not recwarn.list
    operator(noisy()).sum().backward()
    assert kernel.grad is not None


def test_a_stack_of_masks_is_judged_by_what_it_measured() -> None:
    first = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) > 0.7
    operator = stack([Sampling(first), Sampling(~first), Sampling(first)])
    y = operator(scene())
    noise = 0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    measured = operator.measured
    assert measured is not None
    likelihood = Gaussian(operator, y + measured * noise, 0.1)
    assert float(likelihood.chi2(scene())) == pytest.approx(1, abs=0.15)


def test_a_blur_loads_no_sympy() -> None:
    """``torch.broadcast_shapes`` does, for a second."""
    call = "image.deblur(torch.rand(9, 9), torch.ones(3, 3), 0.1, method='wiener')"
    asked = f"import sys, torch; from rimaging import image; {call}; print('sympy' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
