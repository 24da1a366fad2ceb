"""Noise and mask of a FITS image, from the extensions beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.noise import estimate_image_noise
from rimaging.errors import DataError

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["FLAGS", "Companions", "mask_of", "noise_of"]

Companions = dict[str, tuple[np.ndarray, "Header"]]
"""Role (ERR, VAR, UNCERT, WHT, DQ, MASK) -> its array and header."""

FLAGS = ("DQ", "MASK")
"""Roles that hold bits."""

BAD_PLANES = ("BAD", "SAT", "CR", "NO_DATA")
"""LSST mask planes that spoil a pixel; the others (DETECTED, EDGE, ...) do not."""

ONE_BIT = ("JWST", "ROMAN")
"""Telescopes whose DQ flags much that is harmless; its bit 0 says DO_NOT_USE."""

UNCERTAINTIES = {
    "StdDevUncertainty": 1.0,
    "std": 1.0,
    "VarianceUncertainty": 0.5,
    "var": 0.5,
    "InverseVariance": -0.5,
    "ivar": -0.5,
}
"""Power that makes sigma of what UTYPE (of astropy's CCDData) says."""


def mask_of(companions: Companions, telescope: str) -> Tensor | None:
    """1 where no companion calls the pixel bad."""
    good: np.ndarray | None = None
    if "DQ" in companions:
        quality = companions["DQ"][0].astype(np.int64)
        good = (quality & 1 if telescope in ONE_BIT else quality) == 0
    if "MASK" in companions:
        bits, header = companions["MASK"]
        planes = [int(header[f"MP_{plane}"]) for plane in BAD_PLANES if f"MP_{plane}" in header]
        bad = sum(1 << plane for plane in planes) if planes else -1
        fine = (bits.astype(np.int64) & bad) == 0
        good = fine if good is None else good & fine
    if "WHT" in companions:
        fine = companions["WHT"][0] > 0
        good = fine if good is None else good & fine
    return None if good is None else torch.from_numpy(good.astype(np.float32))


def noise_of(
    companions: Companions,
    data: Tensor,
    mask: Tensor | None,
    notes: list[str],
) -> tuple[Tensor | None, Tensor | None]:
    """Sigma per pixel and the mask without the pixels that have none."""
    sigma: np.ndarray
    with np.errstate(invalid="ignore", divide="ignore"):
        if "ERR" in companions:
            sigma = companions["ERR"][0].astype(np.float64)
        elif "VAR" in companions:
            sigma = np.sqrt(companions["VAR"][0].astype(np.float64))
        elif "UNCERT" in companions:
            values, header = companions["UNCERT"]
            stated = str(header.get("UTYPE", "StdDevUncertainty"))
            if stated not in UNCERTAINTIES:
                raise DataError(
                    f"the UNCERT extension has UTYPE {stated!r}, expected one of "
                    f"{', '.join(UNCERTAINTIES)}: set it, or name the extension ERR."
                )
            sigma = values.astype(np.float64) ** UNCERTAINTIES[stated]
        elif "WHT" in companions:
            weight = companions["WHT"][0].astype(np.float64)
            sigma = (
                np.sqrt(np.median(weight[weight > 0]) / weight) if (weight > 0).any() else weight
            )
        else:
            return None, mask
    good = torch.from_numpy(np.isfinite(sigma) & (sigma > 0))
    if not bool(good.any()):
        raise DataError("no pixel of the noise extension is positive: repair it, or remove it.")
    noise = to_tensor(np.where(good.numpy(), sigma, np.median(sigma[good.numpy()])), "noise")
    if not bool(good.all()):
        mask = good.to(torch.float32) if mask is None else mask * good
        notes.append(f"{int((~good).sum())} pixels without positive noise masked")
    if "WHT" in companions and not {"ERR", "VAR", "UNCERT"} & set(companions):
        level = estimate_image_noise(data / noise, mask)
        noise = noise * level
        notes.append("noise proportional to 1/sqrt(WHT), its level estimated from the image")
    return noise, mask
