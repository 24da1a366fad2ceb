from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rimaging.datasets.open import open, sniff
from rimaging.errors import FormatError, OptionError

IMAGE = np.random.default_rng(0).normal(100, 5, (24, 30)).astype(np.float32)
ERROR = np.full((24, 30), 5, np.float32)
FLAGS = np.zeros((24, 30), np.uint32)
FLAGS[2, 3] = 1
HEADER = {"CTYPE1": "RA---TAN", "CRPIX1": 10.0, "CRPIX2": 9.0, "BUNIT": "DN/s"}


def asdf_file(path: Path, tree: dict[str, Any]) -> Path:
    asdf = pytest.importorskip("asdf")
    asdf.AsdfFile(tree).write_to(path)
    return path


def zarr_group(path: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path), mode="w")
    for name, array in (("sci", IMAGE), ("err", ERROR), ("dq", FLAGS), ("psf", np.ones((3, 3)))):
        group.create_array(name, data=array, chunks=(8, 8) if array.shape[0] > 8 else (3, 3))
    group.attrs["header"] = HEADER
    return path


def written(tmp_path: Path, form: str) -> Path:
    if form == "zarr":
        return zarr_group(tmp_path / "sky.zarr")
    node = {"data": IMAGE, "err": ERROR, "dq": FLAGS, "psf": np.ones((3, 3)), "header": HEADER}
    return asdf_file(tmp_path / "sky.asdf", {"roman": node, "meta": {"x": 1}})


@pytest.mark.parametrize("form", ["asdf", "zarr"])
def test_image_noise_flags_psf_and_header(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form)
    assert sniff(path) == form
    m = open(path)
    assert np.array_equal(m.data.numpy(), IMAGE)
    assert bool((torch.as_tensor(m.noise) == 5).all())
    assert m.mask is not None
    assert torch.nonzero(m.mask == 0).tolist() == [[2, 3]]
    assert m.psf is not None
    assert m.units == "DN/s"
    assert m.header is not None
    assert m.quality is not None
    assert m.quality.dtype == np.int64


@pytest.mark.parametrize("telescope", ["JWST", "ROMAN", "HST"])
def test_flags_mean_what_they_do_in_fits(tmp_path: Path, telescope: str) -> None:
    """Of JWST and Roman bit 0 alone spoils a pixel; others say that a jump was put right, say."""
    flags = FLAGS.copy()
    flags[5:] = 4
    node = {"meta": {"telescope": telescope}, "data": IMAGE, "dq": flags}
    tree = {"roman": node} if telescope == "ROMAN" else node
    m = open(asdf_file(tmp_path / "sky.asdf", tree))
    assert m.mask is not None
    bad = flags != 0 if telescope == "HST" else flags == 1
    assert np.array_equal(m.mask.numpy() == 0, bad)
    assert m.quality is not None and np.array_equal(m.quality, flags)


@pytest.mark.parametrize("form", ["asdf", "zarr"])
def test_a_unit_without_a_header_is_written(tmp_path: Path, form: str) -> None:
    from astropy.io import fits

    from rimaging.datasets.fits_writer import fits_hdus

    if form == "asdf":
        path = asdf_file(tmp_path / "a.asdf", {"data": {"value": IMAGE, "unit": "MJy/sr"}})
    else:
        zarr = pytest.importorskip("zarr")
        array = zarr.open_array(
            str(tmp_path / "a.zarr"), mode="w", shape=IMAGE.shape, dtype="f4", chunks=(8, 8)
        )
        array[:] = IMAGE
        array.attrs["BUNIT"] = "MJy/sr"
        path = tmp_path / "a.zarr"
    hdus, _ = fits_hdus(IMAGE, open(path))
    assert isinstance(hdus, fits.HDUList) and hdus["SCI"].header["BUNIT"] == "MJy/sr"


@pytest.mark.parametrize("form", ["asdf", "zarr"])
def test_a_region_is_a_part_of_everything(tmp_path: Path, form: str) -> None:
    m = open(written(tmp_path, form), region="1:9,2:7")
    assert np.array_equal(m.data.numpy(), IMAGE[2:7, 1:9])
    assert m.mask is not None
    assert torch.nonzero(m.mask == 0).tolist() == [[0, 2]]
    assert m.header is not None
    assert (m.header["CRPIX1"], m.header["CRPIX2"]) == (9.0, 7.0)


def test_only_the_chunks_of_a_region_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "zarr")
    for chunk in (path / "sci" / "c").glob("*/*"):
        if chunk.parent.name != "0" or chunk.name != "0":
            chunk.write_bytes(b"damaged")
    assert np.array_equal(open(path, region="0:8,0:8").data.numpy(), IMAGE[:8, :8])
    with pytest.raises(FormatError, match="damaged"):
        open(path)


def test_a_plain_zarr_array(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(tmp_path / "a.zarr"), data=IMAGE)
    array.attrs["BUNIT"] = "Jy"
    m = open(tmp_path / "a.zarr")
    assert np.array_equal(m.data.numpy(), IMAGE)
    assert m.units == "Jy"


def test_quantities_whose_tag_nobody_knows(tmp_path: Path) -> None:
    tree = {"deep": {"er": {"data": {"value": IMAGE, "unit": "DN"}}}}
    m = open(asdf_file(tmp_path / "a.asdf", tree))
    assert np.array_equal(m.data.numpy(), IMAGE)
    assert m.units == "DN"


def test_damage_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "asdf")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"'sky[.]asdf'"):
        open(path)
    changed = bytearray(whole)
    changed[-2000] ^= 1
    path.write_bytes(changed)
    with pytest.raises(FormatError, match=r"'sky[.]asdf'"):
        open(path)
    with pytest.raises(FormatError, match="no array data"):
        open(asdf_file(tmp_path / "b.asdf", {"x": {"y": np.ones(5)}}))


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "asdf")
    monkeypatch.setitem(sys.modules, "asdf", None)
    with pytest.raises(OptionError, match=r"pip install 'rimaging\[astro\]'"):
        open(path)
