"""What the tags of TIFF mean: against Pillow, and on the way back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from rimaging import image
from rimaging.datasets.picture import read_picture
from rimaging.errors import FormatError

VALUES = np.random.default_rng(0).integers(0, 256, (12, 10), np.uint8)
TABLE = np.random.default_rng(1).integers(0, 2**16, (3, 256), np.uint16)


def seen(path: Path) -> np.ndarray:
    """Counts of 8 bits, colour last, as other programs show them."""
    found = read_picture(path).data
    return (255 * (found.movedim(0, -1) if found.ndim == 3 else found)).round().numpy()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_first_row_is_on_top(tmp_path: Path, orientation: int) -> None:
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "f.tif", VALUES, extratags=[tag])
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(VALUES).save(tmp_path / "f.png", exif=exif)
    with Image.open(tmp_path / "f.png") as file:
        expected = np.asarray(ImageOps.exif_transpose(file))
    assert np.array_equal(seen(tmp_path / "f.tif"), expected)


@pytest.mark.parametrize(
    ("samples", "extra", "mode"),
    [
        ((), {"photometric": "miniswhite"}, "L"),
        ((), {"photometric": "palette", "colormap": TABLE}, "RGB"),
        ((4,), {"photometric": "separated"}, "RGB"),
    ],
)
def test_white_palettes_and_inks_are_pillows(
    tmp_path: Path, samples: tuple[int, ...], extra: dict[str, Any], mode: str
) -> None:
    path = tmp_path / "f.tif"
    values = np.random.default_rng(2).integers(0, 256, (12, 10, *samples), np.uint8)
    tifffile.imwrite(path, values, **extra)
    with Image.open(path) as file:
        assert np.array_equal(seen(path), np.asarray(file.convert(mode)))
    assert read_picture(path).provenance["assumed"]


def test_masks_of_booleans_stay_as_tifffile_has_them(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "f.tif", VALUES > 99)
    assert np.array_equal(read_picture(tmp_path / "f.tif").data.numpy(), VALUES > 99)


@pytest.mark.parametrize("photometric", ["cfa", "cielab"])
def test_what_is_neither_gray_nor_rgb_is_refused(tmp_path: Path, photometric: str) -> None:
    path = tmp_path / "f.tif"
    shape = (12, 10, 3) if photometric == "cielab" else (12, 10)
    tifffile.imwrite(path, np.zeros(shape, np.uint8), photometric=photometric)
    with pytest.raises(FormatError, match="expected gray or RGB"):
        read_picture(path)


def test_a_thumbnail_is_not_the_picture_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(VALUES[::2, ::2], subfiletype=1)
        file.write(VALUES)
        file.write(VALUES[:5])
    assert np.array_equal(seen(path), VALUES)
    assert read_picture(path).provenance["assumed"] == [
        "image 2 of 3 of this TIFF read, the others left out"
    ]


@pytest.mark.parametrize("mode", ["L", "I;16", "F", "RGB", "pages"])
def test_lzw_as_opencv_and_photoshop_write_it(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "f.tif"
    pages = [VALUES, VALUES[::-1], VALUES[:, ::-1]]
    values = {
        "I;16": VALUES * np.uint16(200),
        "F": VALUES / np.float32(7),
        "RGB": np.stack(pages, axis=-1),
    }.get(mode, VALUES)
    more = [Image.fromarray(page) for page in pages[1:]] if mode == "pages" else []
    Image.fromarray(values).save(path, compression="tiff_lzw", save_all=True, append_images=more)
    found = read_picture(path)
    expected = np.stack(pages) if mode in ("pages", "RGB") else values
    white = {"I;16": 65535, "F": 1}.get(mode, 255)
    assert np.allclose((white * found.data).numpy(), expected, rtol=1e-5)
    assert bool(found.provenance.get("colour")) == (mode == "RGB")


def test_what_pillow_would_cut_names_the_package(tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    Image.fromarray(VALUES > 99).save(path, compression="group4")
    raw = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].tags["Compression"].valueoffset
    path.write_bytes(raw[:offset] + (34712).to_bytes(2, "little") + raw[offset + 2 :])
    with pytest.raises(FormatError, match=r"pip install imagecodecs|cannot be decoded"):
        read_picture(path)


STACK = np.random.default_rng(3).integers(0, 2**16, (3, 2, 12, 10), np.uint16)


@pytest.mark.parametrize("flavour", ["imagej", "ome"])
def test_hyperstacks_come_out_as_they_came(
    tmp_path: Path, flavour: str, real_weights: Path
) -> None:
    path = tmp_path / "f.tif"
    known = {
        "imagej": {"axes": "ZCYX", "unit": "um", "spacing": 2.0},
        "ome": {
            "axes": "ZCYX",
            "PhysicalSizeX": 0.1,
            "PhysicalSizeXUnit": "nm",
            "Channel": {"Name": ["DAPI", "GFP"]},
        },
    }[flavour]
    tifffile.imwrite(
        path, STACK, imagej=flavour == "imagej", ome=flavour == "ome", metadata=known,
        resolution=(10.0, 20.0),
    )  # fmt: skip
    image.denoise(str(path), 0.1, real_weights).save(tmp_path / "same.tif")
    image.upscale(str(path), 2, 0.1, real_weights).save(tmp_path / "large.tif")
    for name, factor in (("same.tif", 1), ("large.tif", 2)):
        with tifffile.TiffFile(tmp_path / name) as file:
            assert (file.is_imagej, file.is_ome) == (flavour == "imagej", flavour == "ome")
            assert file.series[0].axes == "ZCYX"
            assert file.series[0].shape == (3, 2, 12 * factor, 10 * factor)
            assert file.series[0].dtype == np.uint16
            tags = file.pages[0].tags
            x, y = (tags[f"{axis}Resolution"].value for axis in "XY")
            assert (x[0] / x[1], y[0] / y[1]) == (10 * factor, 20 * factor)
            if flavour == "imagej":
                assert file.imagej_metadata["unit"] == "um"
                assert file.imagej_metadata["spacing"] == 2.0
            else:
                size = f'PhysicalSizeX="{0.1 / factor}" PhysicalSizeXUnit="nm"'
                assert size in file.ome_metadata
                assert 'Name="DAPI"' in file.ome_metadata and 'Name="GFP"' in file.ome_metadata


def test_what_has_other_axes_than_it_came_with_is_pages(tmp_path: Path, real_weights: Path) -> None:
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZCYX"})
    result = image.denoise(str(path), 0.1, real_weights)
    replace(result, image=result.image[0]).save(tmp_path / "one.tif")
    assert read_picture(tmp_path / "one.tif").data.shape == (2, 12, 10)
