"""Pictures: PNG, JPEG and TIFF of 8 or 16 bit, gray or colour; TIFF of floats too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rimaging.datasets.arrays import fill_invalid, filled_notes, to_tensor
from rimaging.datasets.guard import check_declared, existing_file, identity
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.tiff import SIGNATURES, read_tiff, write_tiff
from rimaging.errors import FormatError, OptionError, RimagingError

__all__ = ["read_picture", "write_picture"]


def read_picture(path: str | Path) -> Measurement:
    """Read a picture as (y, x), or (3, y, x) in colour, with white at 1; pages (page, ..., y, x).

    What is colour the file says (mode, photometric interpretation), not the shape, and
    ``provenance["colour"]`` keeps it. The depth is kept in ``provenance["bit_depth"]`` (32: floats
    and signed integers of TIFF, as they are), so that saving gives it back. The EXIF orientation is
    applied, in TIFF too; transparency is left out and said. ``provenance["grid"]``: axes and
    resolution of TIFF (`rimaging.datasets.tiff`), which saving as TIFF gives back.

    Raises FormatError for damaged pictures, and for 16-bit PNG of colour or transparency, which
    Pillow would silently cut to 8.
    """
    path = existing_file(path)
    with path.open("rb") as file:
        head = file.read(26)
    notes: list[str] = []
    try:
        grid: dict[str, Any] = {}
        if head.startswith(SIGNATURES):
            array, colour, grid, profile = read_tiff(path, notes)
        else:
            array, colour, profile = _pillow(path, head, notes)
    except RimagingError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged input
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise FormatError(f"{path.name!r} cannot be decoded ({reason}): save it again.") from error
    depth, white = {"b": (1, 1.0), "u1": (8, 255.0), "u2": (16, 65535.0)}.get(
        array.dtype.kind if array.dtype.kind == "b" else array.dtype.str[1:], (32, 1.0)
    )
    data, mask, filled = fill_invalid(to_tensor(array / white, "picture"))
    notes += filled_notes(filled)
    provenance: dict[str, Any] = {
        "format": _form(head),
        "sha256": identity(path),
        "bit_depth": depth,
    }
    if colour:
        provenance["colour"] = True
    if grid:
        provenance["grid"] = grid
    if notes:
        provenance["assumed"] = notes
    units = "relative to white" if depth <= 16 else None
    return Measurement(
        kind="image",
        data=data,
        mask=mask,
        filled=filled,
        units=units,
        profile=profile,
        provenance=provenance,
    )


def _form(head: bytes) -> str:
    if head.startswith(SIGNATURES):
        return "TIFF"
    return "PNG" if head.startswith(b"\x89PNG") else "JPEG"


def _pillow(path: Path, head: bytes, notes: list[str]) -> tuple[np.ndarray, bool, bytes | None]:
    """The pixels ``([3,] y, x)``, whether they are in colour, and their ICC profile."""
    from PIL import Image, ImageOps

    if head.startswith(b"\x89PNG") and head[24] == 16 and head[25] in (2, 4, 6):
        raise FormatError(
            f"{path.name!r} is a 16-bit PNG of colour or transparency, which Pillow cuts to 8 "
            "bits: save it as TIFF."
        )
    with Image.open(path, formats=("PNG", "JPEG")) as file:
        picture: Image.Image = file
        bands = len(picture.getbands())
        check_declared(math.prod(picture.size) * bands, path.stat().st_size, repr(path.name))
        if picture.getexif().get(0x0112, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
            notes.append("turned as its EXIF orientation says")
        profile = None if picture.mode == "CMYK" else picture.info.get("icc_profile")
        if picture.mode in ("P", "CMYK", "YCbCr", "PA"):
            notes.append(f"converted from {picture.mode} to RGB")
            picture = picture.convert("RGB")
        mode, array = picture.mode, np.asarray(picture)
        if "transparency" in picture.info and mode != "LA":
            notes.append("transparency left out")
    if mode in ("LA", "RGBA"):
        array = array[..., :-1]
        notes.append("transparency left out")
    if mode.startswith("RGB"):
        return np.moveaxis(array, -1, 0), True, profile
    if mode == "LA":
        array = array[..., 0]
    # Pillow opens 16-bit gray as 32-bit integers in some versions
    return (array.astype(np.uint16) if array.dtype == np.int32 else array), False, profile


def write_picture(
    path: Path,
    image: torch.Tensor,
    *,
    bits: int,
    window: tuple[float, float] = (0.0, 1.0),
    colour: bool = True,
    grid: dict[str, Any] | None = None,
    profile: bytes | None = None,
) -> None:
    """Write (y, x), or (3, y, x) in colour, as PNG or TIFF, ``window`` from black to white.

    ``bits`` 8 or 16: values beyond the window are clipped; 32: TIFF of floats, as they are. TIFF
    holds stacks (..., y, x) as pages, three gray ones too where it is not in ``colour``, on the
    ``grid`` of the TIFF that was read. ``profile``: of ICC, for the colours.

    Raises OptionError for another depth and for 16-bit colour PNG, FormatError for another shape.
    """
    png = path.suffix.lower() == ".png"
    if bits not in ((8, 16) if png else (8, 16, 32)):
        raise OptionError(f"bits is {bits}, expected 8 or 16{'' if png else ', or 32'}.")
    colour = colour and image.ndim > 2 and image.shape[-3] == 3
    if png and image.ndim != 2 + colour:
        raise FormatError(
            f"a picture is (y, x), or (3, y, x) in colour, got {tuple(image.shape)}: save one "
            "slice, or use .tif for pages, .nii.gz, .fits or .h5 for volumes."
        )
    if bits == 32:
        array = image.float().cpu().numpy()
    else:
        low, high = window
        width = max(high - low, float(np.finfo(np.float32).tiny))
        scaled = ((image.double() - low) / width).clamp(0, 1)
        dtype = np.uint8 if bits == 8 else np.uint16
        array = (scaled * (2**bits - 1)).round().cpu().numpy().astype(dtype)
    if colour:
        array = np.moveaxis(array, -3, -1)
    if png:
        if colour and bits == 16:
            raise OptionError("PNG of 16-bit colour cannot be written: save as .tif, or bits=8.")
        from PIL import Image

        Image.fromarray(np.ascontiguousarray(array)).save(path, format="PNG", icc_profile=profile)
        return
    write_tiff(path, array, colour=colour, grid=grid or {}, profile=profile)
