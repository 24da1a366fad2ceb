"""Where the values of a FITS image lie in its file, so that blocks are read without the rest."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from rimaging.errors import FormatError, RimagingError

DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def describe_fits(path: Path, extension: str | None) -> dict[str, Any]:
    """The source of a FITS image, `rimaging.mosaic.readers.Raw` or ``Section``, and its header.

    Raises FormatError for damaged or truncated files, packed ones (.gz), and absent extensions.
    """
    from astropy.io import fits

    with path.open("rb") as file:
        if file.read(2) in (b"\x1f\x8b", b"BZ"):
            raise FormatError(
                f"{path.name!r} is packed, and a packed file has no blocks: unpack it first"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # non-standard cards of old files
        try:
            with fits.open(path, memmap=True, lazy_load_hdus=True) as hdus:
                index = _choose(hdus, extension, path.name)
                return _layout(hdus, index, path)
        except RimagingError:
            raise
        except (OSError, ValueError, TypeError, LookupError, fits.VerifyError) as error:
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise FormatError(
                f"{path.name!r} is no FITS file, or damaged ({reason}): fetch it again"
            ) from None


def _choose(hdus: Any, extension: str | None, name: str) -> int:
    images = [i for i, hdu in enumerate(hdus) if hdu.is_image and len(hdu.shape) >= 2]
    listing = ", ".join(f"[{i}] {hdus[i].name or 'unnamed'}" for i in images[:8])
    if not images:
        raise FormatError(f"{name!r} holds no image, expected one (y, x)")
    if extension is None:
        named = [i for i in images if hdus[i].name in ("SCI", "IMAGE")]
        return (named or images)[0]
    label, _, version = extension.partition(",")
    for i in images:
        wanted = hdus[i].name == label.strip().upper() and version.strip() in ("", str(hdus[i].ver))
        if wanted or label.strip() == str(i):
            return i
    raise FormatError(f"{name!r} has no image [{extension}]; it has {listing}")


def _layout(hdus: Any, index: int, path: Path) -> dict[str, Any]:
    from astropy.io import fits

    hdu = hdus[index]
    header = hdu.header.copy()
    if index > 0:
        header.extend(hdus[0].header.copy(strip=True), unique=True)
    full = list(hdu.shape)
    shape = [math.prod(full[:-2]), *full[-2:]]
    common = {
        "path": str(path),
        "shape": shape,
        "full_shape": full,
        "extension": index,
        "header": header.tostring(sep="\n", padding=False),
        "name": hdu.name,
        "version": int(hdu.ver),
        "telescope": str(header.get("TELESCOP", "")),
        "utype": str(hdu.header.get("UTYPE", "StdDevUncertainty")),
        # LSST's names of the bits of a mask
        "planes": {card[3:]: int(hdu.header[card]) for card in hdu.header if card[:3] == "MP_"},
    }
    bitpix = int(hdu.header["BITPIX"])
    blank = hdu.header.get("BLANK") if bitpix > 0 else None
    common |= {
        "scale": float(hdu.header.get("BSCALE", 1.0)),
        "zero": float(hdu.header.get("BZERO", 0.0)),
        "blank": None if blank is None else int(blank),
    }
    if isinstance(hdu, fits.CompImageHDU):
        return common | {"kind": "section", "lead": full[:-2]}
    offset = int(hdu.fileinfo()["datLoc"])
    declared = math.prod(full) * abs(bitpix) // 8
    there = path.stat().st_size - offset
    if declared > there:
        raise FormatError(
            f"{path.name!r}[{index}] declares {declared} bytes of data and {there} are there: the "
            "file is truncated or its header is wrong, fetch it again"
        )
    return common | {"kind": "raw", "offset": offset, "dtype": DTYPES[bitpix]}
