"""What comes beside a sky: its noise, its good pixels, its background; as files or extensions.

Each is said in plain values, and read block by block in the workers.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rimaging.datasets.fits import ROLES
from rimaging.datasets.fits_companions import BAD_PLANES, ONE_BIT, UNCERTAINTIES
from rimaging.datasets.sources import Array
from rimaging.errors import DataError, FormatError, ShapeError
from rimaging.mosaic.sources import Description, Slices, check_shape, describe, open_source
from rimaging.mosaic.task import pack
from rimaging.reports.arrays import to_numpy
from rimaging.tiles.blur import own_of

Shape = tuple[int, int, int]
Maps = dict[str, Any]

VARIANCES = ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")
ANY_BIT = -1


def noise_of(
    noise: float | Array | str | Path | None, source: Description, shape: Shape
) -> tuple[Maps | None, NDArray[np.float32] | None]:
    """The map of the noise, or one number for each channel, or neither: it is to be estimated.

    A map is ``{"sources": [...], "power": p, "relative": bool}``: sigma is the sum of the sources
    to the power ``p``, relative where only its shape is known (WHT). Of a file whose extension is
    a variance the root is taken; without a file, what is beside the image says it: ERR, VARIANCE,
    the sum of VAR_*, UNCERT by its UTYPE, WHT.

    Raises DataError for noise that is not above zero, ShapeError for maps of another size.
    """
    if isinstance(noise, str | Path):
        numbers = _numbers(noise, shape)
        if numbers is not None:
            return None, _checked(numbers, shape)
        found = describe(noise)
        check_map(found, shape, "noise")
        role = ROLES.get(found.get("name", ""), "ERR")
        if role == "WHT":
            raise DataError(
                f"{Path(str(noise)).name!r} holds weights (WHT), expected sigma: leave --noise out "
                "and they are used by themselves, or give an RMS map"
            )
        return _map([found], role), None
    if noise is not None:
        return None, _checked(to_numpy(torch.as_tensor(noise)), shape)
    for names in (("ERR",), ("VARIANCE",), ("VAR",), VARIANCES, ("UNCERT",), ("WHT",)):
        beside = [map_ for name in names if (map_ := _companion(source, name, shape))]
        if beside:
            return _map(beside, ROLES[names[0]]), None
    return None, None


def _numbers(path: str | Path, shape: Shape) -> NDArray[Any] | None:
    """One number for each channel, of a small .npy file; None for what is a map."""
    if Path(path).suffix != ".npy" or not Path(path).is_file():
        return None
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return None
    return np.array(array) if array.size in (1, shape[0]) and array.dtype.kind in "fiu" else None


def _checked(values: NDArray[Any], shape: Shape) -> NDArray[np.float32]:
    sigma = np.asarray(values, np.float32).reshape(-1)
    if sigma.size not in (1, shape[0]) or not bool((np.isfinite(sigma) & (sigma > 0)).all()):
        raise DataError(
            f"the noise has {sigma.size} values from {sigma.min():.4g}: give one above zero, or "
            f"one for each of {shape[0]} channels, or the path of a map"
        )
    return np.broadcast_to(sigma, (shape[0],)).copy()


def _map(sources: list[Description], role: str) -> Maps:
    powers = {"ERR": 1.0, "VAR": 0.5, "WHT": -0.5}
    if role == "UNCERT":
        stated = str(sources[0].get("utype", "StdDevUncertainty"))
        if stated not in UNCERTAINTIES:
            raise DataError(f"UNCERT has UTYPE {stated!r}, expected {', '.join(UNCERTAINTIES)}")
        power = UNCERTAINTIES[stated]
    else:
        power = powers.get(role, 1.0)
    return {"sources": sources, "power": power, "relative": role == "WHT"}


def read_noise(noise: Maps, place: Slices) -> NDArray[np.float32]:
    """Sigma of a block, NaN where it says none; of a map of one plane, for all channels."""
    total = sum(_read(found, place).astype(np.float64) for found in noise["sources"])
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = np.power(total, noise["power"])
    return np.where(np.isfinite(sigma) & (sigma > 0), sigma, np.nan).astype(np.float32)


def masks_of(mask: str | Path | None, source: Description, shape: Shape) -> list[Maps]:
    """The maps that say which pixels are good, each ``{"source": ..., "bits": ...}``.

    A pixel is good in all of them: where the value has none of ``bits`` (all of them: -1), or,
    without bits, where it is 1. Without a file, what is beside the image: DQ (of JWST and Roman
    only bit 0, DO_NOT_USE) and MASK (of LSST the planes BAD, SAT, CR and NO_DATA).
    """
    if mask is not None:
        found = describe(mask)
        check_map(found, shape, "mask")
        return [{"source": found, "bits": None}]
    masks: list[Maps] = []
    quality = _companion(source, "DQ", shape)
    if quality is not None:
        one = str(source.get("telescope", "")) in ONE_BIT
        masks.append({"source": _as_flags(quality), "bits": 1 if one else ANY_BIT})
    flags = _companion(source, "MASK", shape)
    if flags is not None:
        planes = flags.get("planes", {})
        bits = sum(1 << planes[name] for name in BAD_PLANES if name in planes)
        masks.append({"source": _as_flags(flags), "bits": bits or ANY_BIT})
    return masks


def _as_flags(found: Description) -> Description:
    """As whole numbers: in single precision a high bit hides the low ones."""
    return found | {"flags": True}


def read_good(masks: list[Maps], place: Slices) -> NDArray[np.bool_] | None:
    """Where a block is good in all maps, None without any."""
    good: NDArray[np.bool_] | None = None
    for mask in masks:
        values = _read(mask["source"], place)
        bits = mask["bits"]
        fine = values > 0.5 if bits is None else (values.astype(np.int64) & bits) == 0
        good = fine if good is None else good & fine
    return good


def background_of(
    background: float | Array | str | Path | None, shape: Shape
) -> tuple[Description | None, NDArray[np.float32] | None]:
    """The map of the sky's level, or one number for each channel, or neither.

    Raises DataError for levels that are not finite, ShapeError for another number or size.
    """
    if isinstance(background, str | Path):
        found = describe(background)
        check_map(found, shape, "background")
        return found, None
    if background is None:
        return None, None
    level = np.asarray(to_numpy(torch.as_tensor(background)), np.float32).reshape(-1)
    if level.size not in (1, shape[0]):
        raise ShapeError(
            f"{level.size} background levels came for {shape[0]} channels: give one, or one for "
            "each, or the path of a map"
        )
    if not bool(np.isfinite(level).all()):
        raise DataError(f"background is {level.min()}: give the level of the empty sky")
    return None, np.broadcast_to(level, (shape[0],)).copy()


def read_map(found: Description, place: Slices) -> NDArray[np.float32]:
    """A block of a map, which may have one plane for all channels."""
    return np.asarray(_read(found, place), np.float32)


def _read(found: Description, place: Slices) -> NDArray[Any]:
    channels = own_of(place[0], int(found["shape"][0]))
    return open_source(found).read((channels, place[1], place[2]))


def saturation_of(asked: float | None, source: Description) -> float | None:
    """The level from which on pixels are full: as asked, or SATURATE of the header, or None."""
    if asked is not None or "header" not in source:
        return asked
    from astropy.io import fits

    from rimaging.datasets.fits_header import saturation

    level = saturation(fits.Header.fromstring(source["header"], sep="\n"))
    return level if math.isfinite(level) else None


def _companion(source: Description, name: str, shape: Shape) -> Description | None:
    """The extension beside an image, of its version, where there is one of its shape."""
    if "header" not in source:
        return None
    version = int(source.get("version", 1))
    try:
        found = describe(f"{source['path']}[{name},{version}]")
    except FormatError:
        return None
    own = check_shape(found)
    return found if own[1:] == shape[1:] and own[0] in (1, shape[0]) else None


def check_map(found: Description, shape: Shape, name: str) -> None:
    """Raise ShapeError for a map that fits no channel of an image."""
    own = check_shape(found)
    if own[1:] != shape[1:] or own[0] not in (1, shape[0]):
        raise ShapeError(f"the {name} has shape {own}, the image {shape}: give one for its pixels")


def packed(values: NDArray[np.float32] | None) -> dict[str, Any] | None:
    """Values for the settings of a task, or None."""
    return None if values is None else pack(values)
