"""FITS images in and out: data, noise, quality and the whole header.

`file.fits[SCI]`, `file.fits[SCI,2]` and `file.fits[1]` choose an extension; .gz, .bz2 and
tile-compressed files are read as they are. Beside the image, its companions are read: ERR,
VARIANCE or UNCERT (noise), WHT (relative noise), DQ or MASK (mask), PSF or PSFIMAGE.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from rimaging.datasets.arrays import fill_invalid, to_tensor
from rimaging.datasets.fits_companions import mask_of, noise_of
from rimaging.datasets.guard import check_declared, existing_file, expanded, identity
from rimaging.datasets.measurement import Measurement
from rimaging.errors import FormatError, RimagingError

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

__all__ = ["open_fits", "read_fits", "read_psfs", "split_extension"]

# What astropy raises on damaged files, besides its own VerifyError.
DAMAGE = (OSError, ValueError, TypeError, LookupError, EOFError, MemoryError)


def split_extension(path: str | Path) -> tuple[Path, str | int | tuple[str, int] | None]:
    """Split "file.fits[SCI,2]" into the path and the extension: name, number, or both."""
    match = re.fullmatch(r"(.*)\[([^\[\]]+)\]", str(path))
    if match is None or Path(path).exists():
        return Path(path), None
    name, _, version = match[2].partition(",")
    if name.strip().isdigit() and not version:
        return Path(match[1]), int(name)
    try:
        return Path(match[1]), (name.strip(), int(version)) if version else name.strip()
    except ValueError:
        raise FormatError(
            f"extension [{match[2]}] is unclear, expected [1], [SCI] or [SCI,2]."
        ) from None


@contextmanager
def open_fits(path: Path) -> Iterator[HDUList]:
    """Open a FITS file after comparing every header with the bytes that are there.

    Raises FormatError for damaged and truncated files, negative or absurd sizes, and
    data that do not have the DATASUM that their header states.
    """
    from astropy.io import fits

    path = existing_file(path)
    with path.open("rb") as file:
        packed = file.read(3)[:2] in (b"\x1f\x8b", b"BZ")
    source: Any = expanded(path) if packed else path
    stored = source.getbuffer().nbytes if packed else path.stat().st_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # non-standard cards of old files
        try:
            with fits.open(source, memmap=False, lazy_load_hdus=True) as hdus:
                _check_sizes(hdus, stored, path.name)
                yield hdus
        except RimagingError:
            raise
        except (*DAMAGE, fits.VerifyError) as error:
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise FormatError(
                f"{path.name!r} is no FITS file, or damaged ({reason}): fetch it again."
            ) from error


def _check_sizes(hdus: HDUList, stored: int, name: str) -> None:
    index = 0
    while True:
        try:
            hdu = hdus[index]
        except IndexError:
            return
        header = hdu.header
        axes = [header.get(f"NAXIS{i + 1}", 0) for i in range(int(header.get("NAXIS", 0)))]
        if any(not isinstance(length, int) or length < 0 for length in axes):
            raise FormatError(f"{name!r}[{index}] has axes {axes}, expected lengths >= 0: damaged.")
        declared = math.prod(axes) * abs(int(header.get("BITPIX", 8))) // 8 if axes else 0
        plain = hdu.is_image and not _is_compressed(hdu)
        there = max(stored - hdu.fileinfo()["datLoc"], 0) if plain else declared
        if declared > there:
            raise FormatError(
                f"{name!r}[{index}] declares {declared} bytes of data and {there} are there: the "
                "file is truncated or its header is wrong, fetch it again."
            )
        if hdu.is_image and hdu.shape:
            check_declared(math.prod(hdu.shape) * 4, stored, f"{name!r}[{index}]")
        index += 1


def read_fits(
    path: str | Path, extension: str | int | tuple[str, int] | None = None
) -> Measurement:
    """Read an image (..., y, x) with its noise, mask, PSF and whole header.

    Without an extension: SCI, IMAGE, or else the first extension that holds an image. Scaled
    integers (BSCALE, BZERO, BLANK) become float32 in native byte order. NaN pixels
    are filled with the median and get weight 0.

    Raises FormatError for what cannot be read, naming the extensions that exist.
    """
    bare, found = split_extension(path)
    extension = found if extension is None else extension
    bare = existing_file(bare)
    with open_fits(bare) as hdus:
        index, notes = _choose(hdus, extension, bare.name)
        header = _whole_header(hdus, index)  # before the data: astropy drops BSCALE with them
        data = to_tensor(_data(hdus, index, bare.name), "image")
        units = header.get("BUNIT")
        version = hdus[index].ver
        companions = _companions(hdus, index, version, tuple(data.shape), bare.name)
        telescope = str(header.get("TELESCOP", ""))
    if data.ndim < 2:
        raise FormatError(
            f"{bare.name!r}[{index}] has shape {tuple(data.shape)}, expected (..., y, x)."
        )
    mask = mask_of(companions, telescope)
    data, mask, filled = fill_invalid(data, mask)
    if filled:
        notes.append(f"{filled} NaN pixels masked and filled with the median")
    noise, mask = noise_of(companions, data, mask, notes)
    provenance: dict[str, Any] = {
        "format": "FITS",
        "file": bare.name,
        "extension": index,
        "sha256": identity(bare),
        "companions": sorted(companions),
    }
    if notes:
        provenance["assumed"] = notes
    psf = companions.get("PSF")
    return Measurement(
        kind="sky",
        data=data,
        noise=noise,
        mask=mask,
        psf=None if psf is None else to_tensor(psf[0], "PSF"),
        units=str(units) if units else None,
        header=header,
        provenance=provenance,
    )


def read_psfs(path: str | Path) -> list[Tensor]:
    """Read every image of a FITS file as a PSF or stamp, or the one that [extension] names."""
    bare, extension = split_extension(path)
    with open_fits(bare) as hdus:
        if extension is not None:
            index, _ = _choose(hdus, extension, bare.name)
            return [to_tensor(_data(hdus, index, bare.name), "PSF")]
        images = _images(hdus)
        if not images:
            raise FormatError(f"{bare.name!r} holds no image, expected a PSF.")
        return [to_tensor(_data(hdus, index, bare.name), "PSF") for index in images]


def _images(hdus: HDUList) -> list[int]:
    return [i for i, hdu in enumerate(hdus) if hdu.is_image and len(hdu.shape) >= 2]


def _choose(
    hdus: HDUList, extension: str | int | tuple[str, int] | None, name: str
) -> tuple[int, list[str]]:
    """Index of the image that was asked for, and notes on a choice that was ours."""
    images = _images(hdus)
    listing = ", ".join(f"[{i}] {hdus[i].name or 'unnamed'} {hdus[i].shape}" for i in images[:8])
    if not images:
        raise FormatError(
            f"{name!r} holds tables or visibilities and no image, expected an image (y, x): "
            "make one first (this version reads no visibilities)."
        )
    if extension is not None:
        try:
            index = int(hdus.index_of(extension))
        except KeyError:
            index = -1
        if index not in images:
            raise FormatError(f"{name!r} has no image {extension!r}; it has {listing}.")
        return index, []
    for wanted in ("SCI", "IMAGE"):
        named = [i for i in images if hdus[i].name == wanted]
        if named:
            index = named[0]
            more = len(named) - 1
            what = f"{more} further {wanted} extensions not read" if more else ""
            return index, [what] if what else []
    if len(images) > 1:
        return images[0], [f"first of {len(images)} images read; choose another with [{images[1]}]"]
    return images[0], []


def _data(hdus: HDUList, index: int, name: str) -> np.ndarray:
    hdu = hdus[index]
    # before the data are touched, which rewrites the header; 0 means stated and wrong
    if not _is_compressed(hdu) and 0 in (hdu.verify_datasum(), hdu.verify_checksum()):
        raise FormatError(
            f"{name!r}[{index}] does not have the checksum that its header states: bytes were "
            "changed, fetch it again."
        )
    return np.asarray(hdu.data)


def _is_compressed(hdu: Any) -> bool:
    from astropy.io import fits

    return isinstance(hdu, fits.CompImageHDU)


def _whole_header(hdus: HDUList, index: int) -> Header:
    """Give the header of the image, followed by the primary cards that it lacks."""
    header = hdus[index].header.copy()
    if index > 0:
        header.extend(hdus[0].header.copy(strip=True), unique=True)
    return header


def _companions(
    hdus: HDUList, index: int, version: int, shape: tuple[int, ...], name: str
) -> dict[str, tuple[np.ndarray, Header]]:
    """Extensions that describe the chosen one: of its version, and of its shape unless a PSF."""
    roles = {
        "ERR": "ERR",
        "VARIANCE": "VAR",
        "UNCERT": "UNCERT",
        "WHT": "WHT",
        "DQ": "DQ",
        "MASK": "MASK",
        "PSF": "PSF",
        "PSFIMAGE": "PSF",
    }
    found = {}
    for i in _images(hdus):
        role = roles.get(hdus[i].name)
        if i == index or role is None or hdus[i].ver != version:
            continue
        if role == "PSF" or tuple(hdus[i].shape) == shape:
            found[role] = (_data(hdus, i, name), hdus[i].header)
    return found
