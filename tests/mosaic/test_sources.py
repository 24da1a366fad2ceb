"""A block is what the whole image has there, whatever the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rimaging.errors import FormatError
from rimaging.mosaic.generated import describe_starfield
from rimaging.mosaic.sources import describe, open_source

SHAPE = (2, 3, 37, 45)
INTEGERS = np.random.default_rng(0).integers(-900, 900, SHAPE).astype(np.int16)


def written(folder: Path, kind: str) -> tuple[str, np.ndarray]:
    """A file of a kind, and the values that it stands for."""
    from astropy.io import fits

    values = INTEGERS.astype(np.float32) / 4
    path = folder / "image.fits"
    if kind == "primary":
        fits.writeto(path, values)
    elif kind == "double":
        fits.writeto(path, values.astype(np.float64))
    elif kind == "scaled":
        hdu = fits.PrimaryHDU(INTEGERS)
        hdu.header["BLANK"] = int(INTEGERS[0, 0, 0, 0])
        fits.writeto(path, hdu.data, hdu.header)
        # the scale is added to what is stored
        with path.open("r+b") as file:
            header = hdu.header.copy()
            header["BSCALE"], header["BZERO"] = 0.25, 10.0
            text = header.tostring().encode()
            file.write(text)
        values = values + 10
        values[INTEGERS[0, 0, 0, 0] == INTEGERS] = np.nan
    elif kind == "unsigned":
        values = (INTEGERS.astype(np.int32) + 30000).astype(np.uint16)
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values, name="SCI")]).writeto(path)
    elif kind == "compressed":
        hdu = fits.CompImageHDU(INTEGERS[0], name="SCI", tile_shape=(1, 16, 16))
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
        values = INTEGERS[0]
    elif kind == "npy":
        path = folder / "image.npy"
        np.save(path, values.astype(">f8"))
    elif kind == "zarr":
        import zarr

        path = folder / "image.zarr"
        zarr.create_array(path, data=values, chunks=(1, 1, 16, 16))
    return str(path), values.astype(np.float32).reshape(-1, *SHAPE[-2:])


KINDS = ["primary", "double", "scaled", "unsigned", "compressed", "npy", "zarr"]


@pytest.fixture(scope="module", params=KINDS)
def source(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, np.ndarray]:
    path, values = written(tmp_path_factory.mktemp("source"), request.param)
    description = describe(path)
    assert description["shape"] == list(values.shape)
    return open_source(description), values


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(st.data())
def test_any_block(source: tuple[Any, np.ndarray], data: st.DataObject) -> None:
    read, values = source

    def part(size: int) -> slice:
        start = data.draw(st.integers(0, size - 1))
        return slice(start, data.draw(st.integers(start + 1, size)))

    block = (part(values.shape[0]), part(37), part(45))
    found = read.read(block)
    assert found.dtype == np.dtype("float32") and found.dtype.isnative
    assert np.array_equal(found, values[block], equal_nan=True)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 60), st.integers(1, 60))
def test_a_generated_sky_agrees_with_itself(y: int, x: int, height: int, width: int) -> None:
    read = open_source(describe_starfield((2, 200, 200), fwhm=3.0, cell=32)).read
    whole = read((slice(0, 2), slice(0, 120), slice(0, 120)))
    part = read((slice(1, 2), slice(y, y + height), slice(x, x + width)))
    assert np.allclose(part[0], whole[1, y : y + height, x : x + width], rtol=1e-6, atol=1e-5)


def test_generated_noise_is_of_sigma_one_and_white() -> None:
    read = open_source(describe_starfield((1, 300, 300), fwhm=3.0, cell=300)).read
    noise = read((slice(0, 1), slice(0, 150), slice(150, 300)))[0]
    low, middle, high = np.quantile(noise, [0.1587, 0.5, 0.8413])  # whatever stars there are
    assert abs((high - low) / 2 - 1) < 0.04 and abs(middle) < 0.03
    assert abs((noise[:, 1:] * noise[:, :-1]).clip(-9, 9).mean()) < 0.1


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "primary")
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="truncated"):
        describe(path)
    (tmp_path / "no.fits").write_bytes(b"nonsense")
    with pytest.raises(FormatError, match="no FITS"):
        describe(tmp_path / "no.fits")
    with pytest.raises(FormatError, match="does not exist"):
        describe(tmp_path / "absent.fits")
    (tmp_path / "no.fits.gz").write_bytes(b"\x1f\x8b...")
    with pytest.raises(FormatError, match="unpack"):
        describe(tmp_path / "no.fits.gz")
    (tmp_path / "no.zarr").mkdir()
    with pytest.raises(FormatError, match="Zarr"):
        describe(tmp_path / "no.zarr")


def test_an_extension_is_chosen_by_name_or_number(tmp_path: Path) -> None:
    from astropy.io import fits

    images = [fits.ImageHDU(np.full((4, 5), i, np.float32), name=f"P{i}") for i in (1, 2)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "two.fits")
    for text, value in (("", 1), ("[P2]", 2), ("[2]", 2), ("[P1,1]", 1)):
        source = open_source(describe(f"{tmp_path / 'two.fits'}{text}"))
        assert (source.read((slice(0, 1), slice(0, 4), slice(0, 5))) == value).all()
    with pytest.raises(FormatError, match=r"\[1\] P1, \[2\] P2"):
        describe(f"{tmp_path / 'two.fits'}[P3]")


def test_the_first_array_of_a_file_of_several_is_read(tmp_path: Path) -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 9, 11)).astype(np.float32)
    with (tmp_path / "two.npy").open("wb") as file:
        np.save(file, first)
        np.save(file, second)
    read = open_source(describe(tmp_path / "two.npy")).read
    assert np.array_equal(read((slice(0, 1), slice(0, 9), slice(0, 11)))[0], first)


def test_brackets_of_a_folder_are_no_extension(tmp_path: Path) -> None:
    from astropy.io import fits

    folder = tmp_path / "field[7]"
    folder.mkdir()
    images = [fits.ImageHDU(np.full((9, 11), float(i)), name=n) for i, n in enumerate("AB")]
    for name in ("a.fits", "b[2].fits", "c.fits[A]"):
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(folder / name)
        assert describe(folder / name)["name"] == "A"
        assert describe(f"{folder / name}[B]")["name"] == "B"
