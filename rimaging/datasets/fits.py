"""FITS images in: data, noise, quality, PSF, beams and the whole header.

`file.fits[SCI]`, `file.fits[SCI,2]` and `file.fits[1]` choose an extension; .gz, .bz2 and
tile-compressed files are read as they are. Beside the image, its companions are read: ERR,
VARIANCE, VAR_* or UNCERT (noise), WHT (relative noise), DQ or MASK (mask), PSF or PSFIMAGE, BEAMS.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rimaging.datasets.arrays import fill_invalid, filled_notes
from rimaging.datasets.fits_axes import check_sky_axes, spectral_axis
from rimaging.datasets.fits_beams import Beams, read_beams
from rimaging.datasets.fits_companions import FLAGS, Companions, mask_of, noise_of
from rimaging.datasets.fits_header import saturation, without_lookups
from rimaging.datasets.fits_open import (
    SMALL,
    Extension,
    FitsFile,
    is_compressed,
    open_fits,
    split_extension,
    whole_header,
)
from rimaging.datasets.guard import existing_file, identity
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.section import Section, find_section
from rimaging.errors import DataError, FormatError

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["choose_image", "name_of", "read_fits", "read_fits_array", "read_psfs"]

ROLES = {
    "ERR": "ERR",
    "VARIANCE": "VAR",
    "VAR": "VAR",
    "VAR_POISSON": "VAR",
    "VAR_RNOISE": "VAR",
    "VAR_FLAT": "VAR",
    "UNCERT": "UNCERT",
    "WHT": "WHT",
    "DQ": "DQ",
    "MASK": "MASK",
    "PSF": "PSF",
    "PSFIMAGE": "PSF",
}
"""What an extension is for the image of its version, by its name."""

TOTALS = ("VARIANCE", "VAR")
"""Whole variances, beside which VAR_POISSON and others are parts of them."""

OWN = ("RES", "MODEL")
"""Of what is written here, what is neither noise nor flags."""

LOSSY = ("RICE_1", "RICE_ONE", "HCOMPRESS_1", "PLIO_1")


def read_fits(
    path: str | Path,
    extension: Extension | None = None,
    *,
    region: str | Path | None = None,
    channels: str | None = None,
) -> Measurement:
    """Read an image (..., y, x) with its noise, mask, PSF, beams and whole header.

    Without an extension: SCI, IMAGE, or else the first extension that holds an image. Scaled
    integers (BSCALE, BZERO, BLANK) become float32 in native byte order. NaN pixels, and those at or
    above SATURATE, are filled with the median and get weight 0. With ``region`` or ``channels``
    (see `find_section`) only that part is read; its WCS is that of the part.

    Raises FormatError for what cannot be read, naming the extensions that exist; OptionError and
    ShapeError for regions, DataError for values that cannot be.
    """
    bare, found = split_extension(path)
    extension = found if extension is None else extension
    bare = existing_file(bare)
    with open_fits(bare) as file:
        index, notes = choose_image(file, extension)
        header, more = without_lookups(whole_header(file, index))
        notes += more
        shape = tuple(file.hdus[index].shape)
        check_sky_axes(header, len(shape), f"{file.name!r}[{index}]")
        section = find_section(shape, header, region, channels)
        data = torch.from_numpy(file.array(index, section))
        if data.numel() == 0:
            raise DataError(f"{file.name!r}[{index}] is empty, shape {shape}.")
        companions, psf = _companions(file, index, shape, section)
        notes += _left_aside(file, index, shape)
        beams = read_beams(file.hdus, header, shape, file.name, notes)
        if section is None or file.stored <= SMALL:
            digest = identity(bare)
        else:
            digest = "unknown: only a section was read"
        if is_compressed(file.hdus[index]) and file.hdus[index].header.get("BITPIX", 0) < 0:
            kind = str(file.hdus[index].compression_type)
            if kind in LOSSY:
                notes.append(f"{kind} compression of float pixels, which lost some precision")
    if section is not None:
        psf, beams = _of_channels(psf, beams, section, spectral_axis(header, len(shape)))
        header = section.header(header)
    quality = next((companions[role][0] for role in FLAGS if role in companions), None)
    _keep_planes(header, companions)
    mask = mask_of(companions, str(header.get("TELESCOP", "")))
    mask = _without_saturated(data, mask, header, notes)
    data, mask, filled = fill_invalid(data, mask)
    notes += filled_notes(filled)
    noise, mask = noise_of(companions, data, mask, notes)
    units = header.get("BUNIT")
    provenance: dict[str, Any] = {
        "format": "FITS",
        "file": bare.name,
        "extension": index,
        "sha256": digest,
        "companions": sorted([*companions, *(["PSF"] if psf is not None else [])]),
    }
    if section is not None:
        provenance["section"] = section.text()
    if notes:
        provenance["assumed"] = notes
    return Measurement(
        kind="sky",
        data=data,
        noise=noise,
        mask=mask,
        filled=filled,
        psf=psf,
        units=str(units) if units else None,
        header=header,
        quality=quality,
        beams=beams,
        section=section,
        provenance=provenance,
    )


def read_fits_array(path: str | Path, section: Section | None = None) -> Tensor:
    """Read the image that [extension] names, or the first, as it is: no mask, nothing filled.

    Of an array that has the shape of a ``section``'s whole, that section alone.
    """
    bare, extension = split_extension(path)
    with open_fits(bare) as file:
        index, _ = choose_image(file, extension)
        return torch.from_numpy(file.array(index, section))


def read_psfs(path: str | Path) -> list[Tensor]:
    """Read every image of a FITS file as a PSF or stamp, or the one that [extension] names."""
    bare, extension = split_extension(path)
    with open_fits(bare) as file:
        indices = file.images() if extension is None else [choose_image(file, extension)[0]]
        if not indices:
            raise FormatError(f"{bare.name!r} holds no image, expected a PSF.")
        return [torch.from_numpy(file.array(index)) for index in indices]


def choose_image(file: FitsFile, extension: Extension | None) -> tuple[int, list[str]]:
    """Index of the image that was asked for, and notes on a choice that was ours.

    Raises FormatError, naming the images that exist, where it is not there.
    """
    images, hdus = file.images(), file.hdus
    if not images:
        raise FormatError(
            f"{file.name!r} holds tables or visibilities and no image, expected an image (y, x): "
            "make one first (rimaging radio, of visibilities)."
        )
    if extension is not None:
        try:
            index = int(hdus.index_of(extension))
        except KeyError:
            index = -1
        if index not in images:
            raise FormatError(f"{file.name!r} has no image {extension!r}; it has {file.listing()}.")
        return index, []
    for wanted in ("SCI", "IMAGE"):
        named = [i for i in images if name_of(hdus[i]) == wanted]
        if named:
            more = len(named) - 1
            what = f"{more} further {wanted} extensions not read" if more else ""
            return named[0], [what] if what else []
    others = [i for i in images[1:] if name_of(hdus[i]) not in ROLES]
    if others:
        count = 1 + len(others)
        return images[0], [f"first of {count} images read; choose another with [{others[0]}]"]
    return images[0], []


def _companions(
    file: FitsFile, index: int, shape: tuple[int, ...], section: Section | None
) -> tuple[Companions, Tensor | None]:
    """Extensions that describe the chosen one: of its version, on its pixels; and the PSF.

    The parts of a variance (VAR_POISSON, VAR_RNOISE, VAR_FLAT) are added up, where there is no sum.
    """
    version = file.hdus[index].ver
    found: Companions = {}
    psf = None
    beside = [i for i in file.images() if i != index and file.hdus[i].ver == version]
    total = {name_of(file.hdus[i]) for i in beside} & set(TOTALS)
    for i in beside:
        hdu = file.hdus[i]
        role = ROLES.get(name_of(hdu))
        if role is None or (role == "VAR" and total and name_of(hdu) not in TOTALS):
            continue
        if role == "PSF":
            psf = torch.from_numpy(file.array(i))
        elif _on_pixels(hdu, shape):
            values = file.array(i, section, flags=role in FLAGS)
            if role == "VAR" and role in found and not total:
                values = values + found[role][0]
            found[role] = (values, hdu.header)
    return found, psf


def name_of(hdu: Any) -> str:
    """EXTNAME in capitals, as FITS compares names."""
    return str(hdu.name).strip().upper()


def _on_pixels(hdu: Any, shape: tuple[int, ...]) -> bool:
    """Whether an image has the pixels of one of this shape, or of its last axes."""
    return tuple(hdu.shape) == shape[max(len(shape) - len(hdu.shape), 0) :]


def _left_aside(file: FitsFile, index: int, shape: tuple[int, ...]) -> list[str]:
    """Notes of images beside the chosen one that may be its noise or flags and are not read."""
    chosen = file.hdus[index]
    beside = [file.hdus[i] for i in file.images() if i != index]
    beside = [hdu for hdu in beside if hdu.ver == chosen.ver and name_of(hdu) != name_of(chosen)]
    unknown = [
        name_of(hdu)
        for hdu in beside
        if name_of(hdu) not in (*ROLES, *OWN, "") and _on_pixels(hdu, shape)
    ]
    notes = []
    if unknown:
        notes.append(
            f"{', '.join(unknown[:8])} beside the image left aside, as no such name is known for "
            "noise or flags: give them as noise and mask where they are"
        )
    other = [
        f"{name_of(hdu)} {tuple(hdu.shape)}"
        for hdu in beside
        if ROLES.get(name_of(hdu), "PSF") != "PSF" and not _on_pixels(hdu, shape)
    ]
    if other:
        notes.append(f"{', '.join(other[:8])} left aside, as the image has the shape {shape}")
    return notes


def _of_channels(
    psf: Tensor | None, beams: Beams | None, section: Section, axis: int | None
) -> tuple[Tensor | None, Beams | None]:
    """The PSFs and beams of the channels of a section, where there is one for each."""
    if axis is None:
        return psf, beams
    start, end = section.ranges[axis]
    if psf is not None and psf.ndim >= -axis and psf.shape[axis] == section.whole[axis]:
        psf = psf.narrow(axis, start, end - start)
    return psf, None if beams is None else beams.channels(slice(start, end))


def _keep_planes(header: Header, companions: Companions) -> None:
    """Keep the names of the bits (LSST's MP_ cards) with the flags."""
    for role in FLAGS:
        if role in companions:
            for card in companions[role][1].cards:
                if card.keyword.startswith("MP_"):
                    long = "HIERARCH " if len(card.keyword) > 8 else ""
                    header[f"{long}{card.keyword}"] = (card.value, card.comment)


def _without_saturated(
    data: Tensor, mask: Tensor | None, header: Header, notes: list[str]
) -> Tensor | None:
    """Mask the pixels at or above SATURATE: their value says only that they are brighter."""
    level = saturation(header)
    full = data >= level
    count = int(full.sum())
    if not count:
        return mask
    notes.append(f"{count} pixels at or above SATURATE {level:g} masked")
    good = (~full).to(torch.float32)
    return good if mask is None else mask * good
