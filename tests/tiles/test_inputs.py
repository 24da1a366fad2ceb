"""What lies beside an image says the same of it to tiles as to the door."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rimaging
from rimaging.errors import DataError, ShapeError
from rimaging.mosaic.sources import Description, describe
from rimaging.tiles.inputs import background_of, masks_of, noise_of, read_good, read_noise

SHAPE = (2, 12, 15)
PLACE = (slice(1, 2), slice(2, 9), slice(3, 15))
RANDOM = np.random.default_rng(3)
SCI = RANDOM.normal(size=SHAPE).astype(np.float32)
ERR = RANDOM.uniform(0.5, 2.0, SHAPE).astype(np.float32)
ERR[1, 4, 5] = 0.0
FLAGS = RANDOM.integers(0, 8, SHAPE).astype(np.int32)
FLAGS[:, ::2] |= 1 << 30


def beside(path: Path, *extensions: tuple[str, np.ndarray, dict[str, object]]) -> Description:
    from astropy.io import fits

    hdus = [fits.PrimaryHDU(), fits.ImageHDU(SCI, name="SCI")]
    hdus += [fits.ImageHDU(data, fits.Header(cards), name=n) for n, data, cards in extensions]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return describe(path)


@pytest.mark.parametrize(
    "extensions",
    [
        [("ERR", ERR, {})],
        [("VARIANCE", ERR**2, {})],
        [
            ("VAR_POISSON", ERR**2 / 3, {}),
            ("VAR_RNOISE", ERR**2 / 3, {}),
            ("VAR_FLAT", ERR**2 / 3, {}),
        ],
        [("UNCERT", ERR**2, {"UTYPE": "VarianceUncertainty"})],
        [
            (
                "UNCERT",
                np.where(ERR > 0, 1, 0) / np.maximum(ERR, 0.1) ** 2,
                {"UTYPE": "InverseVariance"},
            )
        ],
    ],
    ids=["ERR", "VARIANCE", "VAR_*", "UNCERT", "InverseVariance"],
)
def test_noise_in_all_its_forms(
    extensions: list[tuple[str, np.ndarray, dict[str, object]]], tmp_path: Path
) -> None:
    source = beside(tmp_path / "sky.fits", *extensions)
    noise, sigma = noise_of(None, source, SHAPE)
    assert noise is not None and sigma is None and not noise["relative"]
    expected = np.where(ERR > 0, ERR, np.nan)[PLACE]
    assert np.allclose(read_noise(noise, PLACE), expected, equal_nan=True, rtol=1e-5)
    door = rimaging.open(tmp_path / "sky.fits", kind="sky")
    assert np.allclose(
        np.asarray(door.noise)[PLACE],
        np.nan_to_num(expected, nan=np.median(ERR[ERR > 0])),
        rtol=0.3,
    )
    name = extensions[0][0]
    if name != "VAR_POISSON":
        asked, _ = noise_of(f"{tmp_path / 'sky.fits'}[{name}]", source, SHAPE)
        assert asked is not None and np.array_equal(
            read_noise(asked, PLACE), read_noise(noise, PLACE), equal_nan=True
        )


def test_weights_are_noise_but_for_its_level(tmp_path: Path) -> None:
    weight = np.where(ERR > 0, 1, 0) / np.maximum(ERR, 0.1) ** 2
    source = beside(tmp_path / "sky.fits", ("WHT", weight, {}))
    noise, _ = noise_of(None, source, SHAPE)
    assert noise is not None and noise["relative"]
    assert np.isnan(read_noise(noise, PLACE)[0, 2, 2])
    with pytest.raises(DataError, match="WHT"):
        noise_of(f"{tmp_path / 'sky.fits'}[WHT]", source, SHAPE)


@pytest.mark.parametrize("telescope", ["HST", "JWST"])
def test_flags_keep_their_low_bits_under_high_ones(telescope: str, tmp_path: Path) -> None:
    from astropy.io import fits

    planes = {"MP_BAD": 0, "MP_SAT": 1, "MP_EDGE": 30}
    path = tmp_path / "sky.fits"
    beside(path, ("DQ", FLAGS, {}), ("MASK", FLAGS, planes))
    fits.setval(path, "TELESCOP", value=telescope, ext=0)
    good = read_good(masks_of(None, describe(path), SHAPE), PLACE)
    quality = FLAGS & 1 if telescope == "JWST" else FLAGS
    expected = (quality == 0) & (FLAGS & 3 == 0)
    assert good is not None and np.array_equal(good, expected[PLACE])
    mask = rimaging.open(path, kind="sky").mask
    assert mask is not None and np.array_equal(np.asarray(mask)[PLACE] > 0, good)


def test_one_plane_for_all_channels_and_one_number_for_each(tmp_path: Path) -> None:
    np.save(tmp_path / "plane.npy", ERR[0])
    noise, _ = noise_of(tmp_path / "plane.npy", {}, SHAPE)
    assert noise is not None and np.array_equal(read_noise(noise, PLACE)[0], ERR[0][PLACE[1:]])
    np.save(tmp_path / "sigmas.npy", np.array([1.0, 2.0]))
    for given in (tmp_path / "sigmas.npy", [1.0, 2.0], np.array([1, 2]).reshape(2, 1, 1)):
        nothing, sigma = noise_of(given, {}, SHAPE)  # type: ignore[arg-type]
        assert nothing is None and sigma is not None and sigma.tolist() == [1.0, 2.0]
    assert noise_of(None, {}, SHAPE) == (None, None)
    _, level = background_of(5.0, SHAPE)
    assert level is not None and level.tolist() == [5.0, 5.0]
    np.save(tmp_path / "three.npy", np.ones((3, 12, 15)))
    for of in (noise_of, masks_of):
        with pytest.raises(ShapeError, match="the image"):
            of(tmp_path / "three.npy", {}, SHAPE)  # type: ignore[operator]
    with pytest.raises(ShapeError, match="background"):
        background_of(tmp_path / "three.npy", SHAPE)
