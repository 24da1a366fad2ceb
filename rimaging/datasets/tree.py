"""Images in trees of arrays: ASDF (Roman, JWST) and Zarr, read part by part.

A node with an array `data` (or sci, image) is the image; beside it err (sigma), var, wht, dq
(not zero is bad) and psf belong to it. A `header` of FITS cards gives WCS and units.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rimaging.datasets.arrays import fill_invalid, filled_notes, to_tensor
from rimaging.datasets.fits_companions import FLAGS, Companions, mask_of, noise_of
from rimaging.datasets.guard import existing_file
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.section import Section, find_section
from rimaging.errors import FormatError, OptionError, RimagingError

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["is_zarr", "read_asdf", "read_zarr"]

IMAGES = ("data", "sci", "image")
ROLES = {
    **dict.fromkeys(("err", "sigma", "rms", "noise"), "ERR"),
    **dict.fromkeys(("var", "variance"), "VAR"),
    **dict.fromkeys(("wht", "weight"), "WHT"),
    "dq": "DQ",
}
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    zlib.error,
)
"""What libraries raise on damaged trees, found by damaging them; ASDF adds those of YAML."""

DEPTH = 3  # of the nodes that are searched for an image


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return path.is_dir() and any((path / n).is_file() for n in ("zarr.json", ".zarray", ".zgroup"))


def read_asdf(
    path: str | Path, *, region: str | Path | None = None, channels: str | None = None
) -> Measurement:
    """Read an image of an ASDF file, memory-mapped; its gwcs is not carried over.

    Raises FormatError for damaged files and those without an image, OptionError without the
    library.
    """
    try:
        import asdf
        from yaml import YAMLError  # type: ignore[import-untyped]
    except ImportError:
        raise OptionError("ASDF files need a library: pip install 'rimaging[astro]'.") from None
    path = existing_file(path)
    whole = region is None and channels is None
    try:
        with asdf.open(
            path, memmap=True, validate_checksums=whole, ignore_unrecognized_tag=True
        ) as file:
            node = _node(file.tree, path.name)
            return _measured(node, "ASDF", path.name, region, channels)
    except RimagingError:
        raise
    except (*DAMAGE, ReferenceError, YAMLError, asdf.exceptions.ValidationError) as error:
        raise FormatError(f"{path.name!r} is damaged ({_line(error)}): fetch it again.") from error


def read_zarr(
    path: str | Path, *, region: str | Path | None = None, channels: str | None = None
) -> Measurement:
    """Read an image of a Zarr array or group, chunk by chunk; attributes: header, BUNIT.

    Raises FormatError for damaged stores and those without an image.
    """
    import zarr

    path = Path(path).expanduser()
    try:
        store = zarr.open(str(path), mode="r")
        attributes = dict(store.attrs)
        if isinstance(store, zarr.Group):
            node: dict[str, Any] = {**attributes, **dict(store.arrays())}
        else:
            node = {**attributes, "data": store}
        return _measured(_node(node, path.name), "Zarr", path.name, region, channels)
    except RimagingError:
        raise
    except DAMAGE as error:
        raise FormatError(f"{path.name!r} is damaged ({_line(error)}): copy it again.") from error


def _node(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The first node, breadth first, that holds an image."""
    level: list[Mapping[str, Any]] = [tree]
    for _ in range(DEPTH):
        for node in level:
            if any(key in node and len(_shape(node[key])) >= 2 for key in IMAGES):
                return node
        level = [v for node in level for v in node.values() if isinstance(v, Mapping)]
    raise FormatError(f"{name!r} has no array {', '.join(IMAGES)} of two axes or more.")


def _measured(
    node: Mapping[str, Any],
    form: str,
    name: str,
    region: str | Path | None,
    channels: str | None,
) -> Measurement:
    key = next(key for key in IMAGES if key in node and len(_shape(node[key])) >= 2)
    shape = _shape(node[key])
    header = _header(node)
    section = find_section(shape, header, region, channels)
    data = to_tensor(_read(node[key], section), "image")
    companions: Companions = {}
    for other, role in ROLES.items():
        own = _shape(node.get(other))
        if role not in companions and len(own) >= 2 and own == shape[len(shape) - len(own) :]:
            companions[role] = (_read(node[other], section), header)
    notes = []
    if "wcs" in node or "wcs" in node.get("meta", {}):
        notes.append("the gwcs of the file is not carried over")
    mask = mask_of(companions, _telescope(node, header))
    data, mask, filled = fill_invalid(data, mask)
    notes += filled_notes(filled)
    noise, mask = noise_of(companions, data, mask, notes)
    units = header.get("BUNIT") or node.get("BUNIT") or _unit(node[key])
    if units and not header.get("BUNIT"):
        header["BUNIT"] = str(units)  # which is what is written
    psf = node.get("psf")
    provenance = {
        "format": form,
        "file": name,
        "companions": sorted(companions),
        **({} if section is None else {"section": section.text()}),
        **({"assumed": notes} if notes else {}),
    }
    quality = next((companions[role][0] for role in FLAGS if role in companions), None)
    return Measurement(
        kind="sky",
        data=data,
        noise=noise,
        mask=mask,
        filled=filled,
        psf=to_tensor(_read(psf, None), "PSF") if len(_shape(psf)) >= 2 else None,
        units=str(units) if units else None,
        header=(section.header(header) if section is not None else header) if header else None,
        quality=None if quality is None else quality.astype(_flag_type(quality)),
        section=section,
        provenance=provenance,
    )


def _telescope(node: Mapping[str, Any], header: Header) -> str:
    """The name of the telescope, of the header or, as JWST and Roman have it, of the meta data."""
    meta = node.get("meta")
    stated = meta.get("telescope") if isinstance(meta, Mapping) else None
    return str(header.get("TELESCOP") or stated or "")


def _flag_type(flags: np.ndarray) -> type:
    return np.int64 if flags.dtype.itemsize > 4 or flags.dtype == np.uint32 else np.int32


def _values(array: Any) -> Any:
    """The array of a quantity, which is ``{value, unit}`` where nobody knows its tag."""
    if isinstance(array, Mapping):
        return array.get("value")
    return getattr(array, "value", array) if hasattr(array, "unit") else array


def _unit(array: Any) -> Any:
    return array.get("unit") if isinstance(array, Mapping) else getattr(array, "unit", None)


def _shape(array: Any) -> tuple[int, ...]:
    return tuple(getattr(_values(array), "shape", ()))


def _read(array: Any, section: Section | None) -> np.ndarray:
    values = _values(array)
    index = None if section is None else section.index(tuple(values.shape))
    return np.asarray(values[... if index is None else index])


def _header(node: Mapping[str, Any]) -> Header:
    from astropy.io import fits

    found = node.get("header", node.get("fits_header", {}))
    if isinstance(found, str):
        return fits.Header.fromstring(found, sep="\n" if "\n" in found else "")
    header = fits.Header()
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if isinstance(value, str | int | float | bool):
            header[str(name)] = value
    return header


def _line(error: Exception) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:100]
