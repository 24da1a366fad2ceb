from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from rimaging.datasets.picture import read_picture, write_picture
from rimaging.datasets.save import save
from rimaging.errors import FormatError, OptionError

RAMP = {8: np.arange(256, dtype=np.uint8), 16: np.arange(0, 65536, 16, dtype=np.uint16)}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_value_survives_a_round_trip(
    tmp_path: Path, bits: int, colour: bool, suffix: str
) -> None:
    values = RAMP[bits].reshape(-1, 16)
    image = torch.from_numpy(values.astype(np.float64) / (2**bits - 1)).float()
    image = torch.stack([image, image.flip(0), image.flip(1)]) if colour else image
    path = tmp_path / f"picture{suffix}"
    if bits == 16 and colour and suffix == ".png":
        with pytest.raises(OptionError, match="tif"):
            write_picture(path, image, bits=bits, window=(0, 1))
        return
    write_picture(path, image, bits=bits, window=(0, 1))
    again = read_picture(path)
    assert again.provenance["bit_depth"] == bits
    assert torch.equal(again.data, image)


def test_a_window_goes_from_black_to_white(tmp_path: Path) -> None:
    path = tmp_path / "f.png"
    write_picture(path, torch.tensor([[-1.0, 10.0, 15.0, 20.0, 99.0]]), bits=8, window=(10, 20))
    assert np.asarray(Image.open(path)).tolist() == [[0, 0, 128, 255, 255]]


def test_orientation_transparency_and_palettes_are_said(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(path, exif=exif)
    turned = read_picture(path)
    assert turned.data.shape == (3, 16, 8)
    assert "EXIF" in turned.provenance["assumed"][0]
    path = tmp_path / "alpha.png"
    Image.fromarray(np.zeros((8, 16, 4), np.uint8)).save(path)
    assert read_picture(path).data.shape == (3, 8, 16)
    assert "transparency" in read_picture(path).provenance["assumed"][0]
    Image.fromarray(np.zeros((8, 16), np.uint8)).convert("P").save(path)
    assert read_picture(path).data.shape == (3, 8, 16)


def test_floating_tiff_stays_as_it_is(tmp_path: Path) -> None:
    values = np.array([[1.5, -2.0], [np.nan, 1e6]], np.float32)
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, values)
    m = read_picture(path)
    assert m.provenance["bit_depth"] == 32
    assert m.mask is not None
    assert m.mask.tolist() == [[1, 1], [0, 1]]
    assert m.data[0].tolist() == [1.5, -2.0]


def test_a_stack_of_pages_is_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, np.zeros((5, 8, 9), np.uint16), photometric="minisblack")
    assert read_picture(path).data.shape == (5, 8, 9)


Planes = Callable[[np.ndarray], np.ndarray]


def as_is(values: np.ndarray) -> np.ndarray:
    return values


def last_first(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values[..., :3], -1, -3)


def first_sample(values: np.ndarray) -> np.ndarray:
    return values[..., 0]


ALPHA = {"extrasamples": ["unassalpha"], "planarconfig": "contig"}


@pytest.mark.parametrize(
    ("shape", "photometric", "extra", "planes", "colour"),
    [
        ((6, 48, 4), "minisblack", {}, as_is, False),
        ((3, 48, 20), "minisblack", {}, as_is, False),
        ((48, 20, 1), "minisblack", {}, first_sample, False),
        ((48, 20, 3), "rgb", {}, last_first, True),
        ((3, 48, 20), "rgb", {"planarconfig": "separate"}, as_is, True),
        ((5, 48, 20, 3), "rgb", {}, last_first, True),
        ((48, 20, 4), "rgb", ALPHA, last_first, True),
        ((48, 20, 2), "minisblack", ALPHA, first_sample, False),
        ((48, 20, 3), "minisblack", {"planarconfig": "contig"}, last_first, False),
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_the_file_says_what_is_colour_not_the_shape(
    tmp_path: Path,
    shape: tuple[int, ...],
    photometric: str,
    extra: dict[str, Any],
    planes: Planes,
    colour: bool,
    dtype: str,
) -> None:
    values = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    tifffile.imwrite(tmp_path / "f.tif", values, photometric=photometric, **extra)
    found = read_picture(tmp_path / "f.tif")
    white = {"u1": 255, "u2": 65535, "f4": 1}[dtype]
    assert np.array_equal((found.data * white).round().numpy(), planes(values))
    assert bool(found.provenance.get("colour")) == colour
    said = "transparency left out" in found.provenance.get("assumed", [])
    assert said == (extra is ALPHA)


def test_gray_with_transparency_is_gray(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 16, 2), np.uint8)
    Image.fromarray(values, mode="LA").save(tmp_path / "la.png")
    found = read_picture(tmp_path / "la.png")
    assert np.array_equal((255 * found.data).round().numpy(), values[..., 0])
    assert "colour" not in found.provenance


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_three_gray_pages_stay_gray(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "pages.tif"
    pages = torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(0))
    write_picture(path, pages, bits=bits, colour=False)
    again = read_picture(path)
    assert torch.allclose(again.data, pages, atol=1 / 255)
    assert "colour" not in again.provenance and again.provenance["bit_depth"] == bits


@pytest.mark.parametrize("colour_type", [2, 4, 6])  # RGB, gray and alpha, RGBA
def test_deep_png_that_pillow_cuts_is_refused(tmp_path: Path, colour_type: int) -> None:
    path = tmp_path / "deep.png"
    size_and_depth = bytes([0, 0, 0, 4, 0, 0, 0, 4, 16, colour_type])
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + size_and_depth
    path.write_bytes(header + bytes(50))
    with pytest.raises(FormatError, match="TIFF"):
        read_picture(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_truncations_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"half{suffix}"
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    if suffix == ".tif":
        tifffile.imwrite(path, values, photometric="rgb")
    else:
        Image.fromarray(values).save(path)
    whole = path.read_bytes()
    for length in (30, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match="half"):
            read_picture(path)


def test_a_tiff_that_lies_about_its_size_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lie.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), rowsperstrip=1)
    raw = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].tags["ImageLength"].valueoffset
    raw[offset : offset + 4] = (500_000).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"lie[.]tif"):
        read_picture(path)


def test_a_volume_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="nii"):
        write_picture(tmp_path / "f.png", torch.zeros(5, 4, 4), bits=8, window=(0, 1))
    with pytest.raises(OptionError, match="8 or 16"):
        write_picture(tmp_path / "f.png", torch.zeros(4, 4), bits=12, window=(0, 1))


def test_real_pictures_are_pillows(data_root: Path) -> None:
    for name in ("bsds300_train/100075.jpg", "set12/01.png", "set5_hr/img_001.png"):
        path = data_root / "natural" / name
        m = read_picture(path)
        expected = np.asarray(Image.open(path))
        expected = np.moveaxis(expected, -1, 0) if expected.ndim == 3 else expected
        assert np.array_equal((m.data * 255).round().numpy(), expected)
        assert m.provenance["bit_depth"] == 8


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("given", [".png", ".jpg", ".tif"])
def test_the_profile_of_colours_stays(tmp_path: Path, mode: str, given: str) -> None:
    profile = bytes(range(200))  # nobody looks into it
    if mode == "CMYK" and given == ".png":
        return
    values = np.random.default_rng(0).integers(0, 256, (8, 9), np.uint8)
    Image.fromarray(values).convert(mode).save(tmp_path / f"a{given}", icc_profile=profile)
    measurement = read_picture(tmp_path / f"a{given}")
    expected = None if mode == "CMYK" else profile  # it became RGB, of which this says nothing
    assert measurement.profile == expected
    for wanted in (".png", ".tif"):
        save(tmp_path / f"b{wanted}", measurement.data, measurement)
        with Image.open(tmp_path / f"b{wanted}") as file:
            assert file.info.get("icc_profile") == expected
