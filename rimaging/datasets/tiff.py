"""TIFF as its tags mean it: which way up, which end is black, and on what grid."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rimaging.datasets.guard import check_declared
from rimaging.datasets.tiff_grid import grid_of
from rimaging.errors import FormatError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

__all__ = ["SIGNATURES", "read_tiff", "write_tiff"]

SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

JPEGS = (6, 7, 33007, 34892)
"""Compressions whose decoder gives RGB of YCbCr."""

LARGEST = 2**32 - 2**25
"""Bytes from which on only BigTIFF holds them, which ImageJ does not read."""


def read_tiff(
    path: Path, notes: list[str]
) -> tuple[np.ndarray, bool, dict[str, Any], bytes | None]:
    """The pixels ``(..., y, x)``, samples before y; whether these are colours; grid, ICC profile.

    Black is at 0 and the first row on top, whatever the tags say; palettes and CMYK become RGB.
    Of ImageJ's coloured tables the values are kept, which are what was measured. The first image of
    full size is read. What was changed or left out goes to ``notes``. The grid, for `write_tiff`:
    names of the axes, pixels per unit.

    Raises FormatError for mosaics of raw cameras and colours that are neither gray nor RGB.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = _first_of_full_size(file, notes)
        declared = math.prod(series.shape) * series.dtype.itemsize
        check_declared(declared, path.stat().st_size, repr(path.name))
        for page in series.pages:
            # tifffile fills absent tiles one by one, for minutes where the sizes lie
            if page is not None and math.prod(page.chunked) != len(page.dataoffsets):
                raise FormatError(f"{path.name!r} lacks tiles that it declares: save it again.")
        page = series.keyframe
        _check_known(page, path.name)
        array, axes, grid = _decoded(path, series), series.axes, grid_of(file, series)
        icc = page.tags.get(34675)
        profile = None if icc is None else bytes(icc.value)
        is_imagej, table, orientation = file.is_imagej, page.colormap, _orientation(page)
    photometric = tifffile.PHOTOMETRIC
    if page.photometric == photometric.MINISWHITE and array.dtype.kind == "u":
        # not of booleans: tifffile writes masks so, as they are, and nobody means the opposite
        array = ~array
        notes.append("white was 0: turned into black")
    colour = page.photometric in (photometric.RGB, photometric.YCBCR)
    alpha = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
    transparent = sum(sample in alpha for sample in page.extrasamples)
    for last in range(len(axes) - 1, axes.rfind("X"), -1):  # an axis of one, or samples
        if axes[last] != "S" and array.shape[last] == 1:
            array, axes = array.squeeze(last), axes[:last] + axes[last + 1 :]
    if "S" in axes:
        array = np.moveaxis(array, axes.index("S"), -3)
        if page.photometric == photometric.SEPARATED:
            array, colour, profile = _from_ink(array), True, None
            notes.append("converted from CMYK to RGB")
        left_out = array.shape[-3] - 3 if colour else transparent
        if left_out > 0:
            array = array[..., :-left_out, :, :]
            notes.append("transparency left out")
        array = array if colour or array.shape[-3] > 1 else array[..., 0, :, :]
    elif page.photometric == photometric.PALETTE and table is not None:
        if is_imagej:
            notes.append("colours of its table left out")
        else:
            array, colour = _looked_up(array, table)
            notes.append("converted from a palette to RGB")
    if orientation > 4 and "pixels_per_unit" in grid:
        grid["pixels_per_unit"].reverse()
    return _upright(array, orientation, notes), colour, grid, profile


def write_tiff(
    path: Path,
    array: np.ndarray,
    *,
    colour: bool,
    grid: dict[str, Any],
    profile: bytes | None = None,
) -> None:
    """Write ``(..., y, x)``, or ``(..., y, x, 3)`` in colour, on the ``grid`` of `read_tiff`.

    A hyperstack of ImageJ or an OME-TIFF comes out as one where its axes are still there; what is
    no longer of their number becomes pages.
    """
    import tifffile

    axes = grid.get("axes", "") + ("YXS" if colour else "YX")
    flavour = grid.get("flavour") if len(axes) == array.ndim else None
    if array.nbytes > LARGEST or (colour and array.dtype != np.uint8):
        flavour = "ome" if flavour == "ome" else None
    metadata: dict[str, Any] = {}
    per_unit = grid.get("pixels_per_unit")
    resolution = None if per_unit is None else (per_unit[0], per_unit[1])
    if flavour == "imagej":
        metadata = {"axes": axes, **grid.get("imagej", {})}
    elif flavour == "ome":
        metadata = {"axes": axes, **grid.get("ome", {})}
    tifffile.imwrite(
        path,
        np.ascontiguousarray(array),
        photometric="rgb" if colour else "minisblack",
        imagej=flavour == "imagej",
        ome=flavour == "ome",
        resolution=resolution,
        resolutionunit=None if resolution is None else grid["resolution_unit"],
        metadata=metadata if flavour else {},
        iccprofile=profile,
    )


def _first_of_full_size(file: TiffFile, notes: list[str]) -> TiffPageSeries:
    """The first image that is no thumbnail of another; others are said to be left out."""
    found = file.series
    full = [i for i, series in enumerate(found) if not series.keyframe.is_reduced] or [0]
    if len(found) > 1:
        notes.append(f"image {full[0] + 1} of {len(found)} of this TIFF read, the others left out")
    return found[full[0]]


def _check_known(page: TiffPage, name: str) -> None:
    """Raise FormatError for what is neither gray nor RGB, nor becomes so."""
    import tifffile

    kinds = tifffile.PHOTOMETRIC
    gray = (kinds.MINISBLACK, kinds.MINISWHITE, kinds.PALETTE, kinds.MASK)
    ink = page.photometric == kinds.SEPARATED and page.samplesperpixel == 4
    luma = page.photometric == kinds.YCBCR and page.compression in JPEGS
    if page.photometric in (*gray, kinds.RGB) or ink or luma:
        return
    said = _name(page.photometric)
    if page.photometric == kinds.CFA:
        raise FormatError(
            f"{name!r} is the mosaic of a raw camera ({said}), expected gray or RGB: develop it."
        )
    raise FormatError(f"{name!r} has colours {said}, expected gray or RGB: convert it to RGB.")


def _name(value: int) -> str:
    """That of a value of TIFF which tifffile knows, or its number."""
    return str(getattr(value, "name", value))


def _decoded(path: Path, series: TiffPageSeries) -> np.ndarray:
    """The pixels as they are stored; those that tifffile needs a package for, by Pillow.

    Pillow knows LZW and JPEG, but turns and inverts by itself, and cuts 16-bit colour to 8.
    """
    try:
        return np.asarray(series.asarray())
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        page = series.keyframe
        plain = _name(page.photometric) in ("MINISBLACK", "RGB", "YCBCR")
        plain = plain and _orientation(page) == 1
        frames = _by_pillow(path, series) if plain else []
        same = [f.shape == page.shape and f.dtype == page.dtype for f in frames]
        if not same or not all(same):
            raise FormatError(
                f"{path.name!r} is compressed by {_name(page.compression)}: install imagecodecs "
                "(pip install imagecodecs), or save it without compression."
            ) from error
        return np.stack(frames).reshape(series.shape)


def _by_pillow(path: Path, series: TiffPageSeries) -> list[np.ndarray]:
    """The pages of an image, as Pillow has them; none where it cannot read them."""
    from PIL import Image

    frames = []
    try:
        with Image.open(path, formats=("TIFF",)) as file:
            for page in series.pages:
                if page is None:
                    return []
                file.seek(page.index)
                frames.append(np.asarray(file))
    except (OSError, EOFError, AttributeError, ValueError):
        return []
    return frames


def _from_ink(inks: np.ndarray) -> np.ndarray:
    """RGB of CMYK ``(..., 4, y, x)`` as Pillow has it: ``(1 - ink) (1 - black)``."""
    if inks.dtype.kind != "u":
        return np.asarray((1 - inks[..., :3, :, :]) * (1 - inks[..., 3:, :, :]))
    white = np.iinfo(inks.dtype).max
    light = (white - inks).astype(np.float64) / white
    mixed: np.ndarray = (white * light[..., :3, :, :] * light[..., 3:, :, :]).round()
    return np.asarray(mixed, dtype=inks.dtype)


def _looked_up(array: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, bool]:
    """The pixels of a palette ``(3, values)`` of 16 bits, as 8; one plane where it is gray."""
    table = (table >> 8).astype(np.uint8)
    if (table == table[:1]).all():
        return table[0][array], False
    return np.moveaxis(table[:, array], 0, -3), True


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get(274)
    return 1 if tag is None else int(tag.value)


def _upright(array: np.ndarray, orientation: int, notes: list[str]) -> np.ndarray:
    """The first row on top, the first column at the left, by the tag of TIFF and EXIF."""
    if not 1 < orientation < 9:
        return array
    notes.append("turned as its EXIF orientation says")
    if orientation > 4:
        array = array.swapaxes(-1, -2)
    if orientation in (3, 4, 7, 8):
        array = array[..., ::-1, :]
    return array[..., ::-1] if orientation in (2, 3, 6, 7) else array
