"""Open a file as a measurement; its content says the format, not its name."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.bart import is_cfl, read_cfl, read_cfl_measurement, squeezed
from rimaging.datasets.fits import read_fits, read_fits_array
from rimaging.datasets.fits_open import split_extension
from rimaging.datasets.guard import existing_file
from rimaging.datasets.hdf5 import read_hdf5, read_hdf5_array
from rimaging.datasets.hdf5_guard import layout
from rimaging.datasets.ismrmrd import read_ismrmrd
from rimaging.datasets.kinds import wrong_kind
from rimaging.datasets.mat import load_mat
from rimaging.datasets.measurement import KINDS, Kind, Measurement
from rimaging.datasets.nifti import read_nifti
from rimaging.datasets.npz import NAMES, find_name, load_arrays, read_mat, read_npz
from rimaging.datasets.picture import read_picture
from rimaging.datasets.section import Section
from rimaging.datasets.suspicions import look_over
from rimaging.datasets.tiff import SIGNATURES
from rimaging.datasets.tree import is_zarr, read_asdf, read_zarr
from rimaging.datasets.twix import is_twix, read_twix
from rimaging.errors import FormatError, OptionError

__all__ = ["named_array", "open", "open_array", "sniff"]

KNOWN = (
    "HDF5 (fastMRI, ISMRMRD), MATLAB .mat, BART .cfl, Siemens twix .dat, .npz, .npy, FITS, ASDF, "
    "Zarr, NIfTI, PNG, JPEG, TIFF"
)

Role = Literal["psf", "mask", "maps", "noise", "reference"]


def open(
    path: str | Path,
    *,
    kind: Kind | None = None,
    region: str | Path | None = None,
    channels: str | None = None,
) -> Measurement:
    """Read a measurement from a file of any format that is known.

    "file.fits[SCI]" chooses an extension. ``kind`` overrules the guess: a FITS image or picture may
    be a "sky" (then give it a PSF) or an "image" (nothing but noise), a .npy array "kspace".
    ``region`` ("x0:x1,y0:y1" or a DS9 region) and ``channels`` ("a:b") read a part of a FITS, ASDF
    or Zarr image, see `rimaging.datasets.section.find_section`.

    Raises FormatError for missing, damaged and unknown files, OptionError for what is no path, and
    for a kind that the file cannot be: it names the command for the kind that it is.
    """
    if not isinstance(path, str | Path):
        raise OptionError(
            f"a {type(path).__name__} came, a path is opened: give its name, and arrays to a door "
            "(rimaging.mri, rimaging.astro, rimaging.image)."
        )
    if kind is not None and kind not in KINDS:
        raise OptionError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}.")
    bare, extension = split_extension(path)
    form = sniff(bare)
    if extension is not None and form != "fits":
        raise FormatError(f"[{extension}] given for a {form} file: only FITS has extensions.")
    if (region is not None or channels is not None) and form not in ("fits", "asdf", "zarr"):
        raise OptionError(f"a region given for a {form} file: only FITS, ASDF and Zarr have one.")
    if form == "npz":
        measurement = read_npz(bare, kind=kind)
    elif form == "fits":
        measurement = read_fits(bare, extension, region=region, channels=channels)
    elif form == "asdf":
        measurement = read_asdf(bare, region=region, channels=channels)
    elif form == "zarr":
        measurement = read_zarr(bare, region=region, channels=channels)
    elif form == "hdf5":
        measurement = read_hdf5(bare)
    elif form == "ismrmrd":
        measurement = read_ismrmrd(bare)
    elif form == "mat":
        measurement = read_mat(bare, kind=kind)
    elif form == "bart":
        measurement = read_cfl_measurement(bare, kind=kind)
    elif form == "twix":
        measurement = read_twix(bare)
    elif form == "nifti":
        measurement = read_nifti(bare)
    else:
        measurement = read_picture(bare)
    measurement = look_over(measurement)
    if kind is None or kind == measurement.kind:
        return measurement
    if "kspace" in (kind, measurement.kind) or (form == "nifti" and kind == "sky"):
        raise wrong_kind(measurement.kind, kind)
    return replace(measurement, kind=kind, psf=measurement.psf if kind == "sky" else None)


def open_array(path: str | Path, role: Role, section: Section | None = None) -> Tensor:
    """Read one companion of a measurement: its "psf", "mask", "maps", "noise" or "reference".

    As `named_array` has it; a FITS image (``file.fits[ERR]``) or a picture. Of an array on the
    pixels of a whole image of which a ``section`` was read, that section.

    Raises FormatError where the array is not found.
    """
    bare, _ = split_extension(path)
    form = sniff(bare)
    named = named_array(bare, form, NAMES[role])
    if named is not None:
        return _cut(named, section)
    if form == "fits":
        # the image that `open` chooses, but as it is: without mask or filling
        return read_fits_array(path, section)
    return _cut(open(path).data, section)


def named_array(path: Path, form: str, names: Sequence[str]) -> Tensor | None:
    """The array of one of these names of a .npz, .mat or .h5, or its only one; that of a .cfl.

    None for a file of another ``form`` (`sniff`). Raises FormatError where it is not found.
    """
    if form == "bart":
        return to_tensor(squeezed(read_cfl(path)), names[0])
    if form == "hdf5":
        return to_tensor(read_hdf5_array(path, names), names[0])
    if form not in ("npz", "mat"):
        return None
    arrays = load_arrays(path) if form == "npz" else load_mat(path)
    found = find_name(arrays, tuple(names) if len(arrays) > 1 else tuple(n.lower() for n in arrays))
    if found is None:
        raise FormatError(
            f"{path.name!r} has {', '.join(arrays) or 'no arrays'}, expected one of "
            f"{', '.join(names)}: rename the array."
        )
    return to_tensor(arrays[found], names[0])


def _cut(array: Tensor, section: Section | None) -> Tensor:
    index = None if section is None else section.index(tuple(array.shape))
    return array if index is None else array[index]


def sniff(path: str | Path) -> str:
    """Tell the format of a file from its first bytes; HDF5 from the names in it.

    One of hdf5 (fastMRI), ismrmrd, mat, bart, twix, npz, fits, asdf, zarr, nifti, picture. Raises
    FormatError, with a way on, for everything else.
    """
    if is_zarr(Path(path).expanduser()):
        return "zarr"
    path = existing_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(352)
        if head[:2] == b"\x1f\x8b":
            with gzip.open(path) as packed:
                head = packed.read(352)
        elif head[:3] == b"BZh":
            with bz2.open(path) as packed:
                head = packed.read(352)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{path.name!r} is damaged or cannot be read: fetch it again.") from error
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return layout(path)
    if head.startswith(b"MATLAB "):
        return "mat"
    if is_cfl(path):
        return "bart"
    if head.startswith((b"PK\x03\x04", b"\x93NUMPY")):
        return "npz"
    if head.startswith(b"SIMPLE  ="):
        return "fits"
    if head.startswith(b"#ASDF "):
        return "asdf"
    if head[344:348] in (b"n+1\x00", b"ni1\x00"):
        return "nifti"
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", *SIGNATURES)):
        return "picture"
    if is_twix(path):
        return "twix"
    if head[128:132] == b"DICM":
        hint = "DICOM holds no k-space; convert it to NIfTI (dcm2niix) to denoise it"
    elif head.startswith(b"\x80"):
        hint = "it is a pickle, which can run code; save arrays as .npz"
    elif path.suffix == ".cfl":
        hint = "BART's header is missing, put the .hdr of the same name beside it"
    elif b"U(lambda)" in head:
        hint = "it is a table of visibilities, of which rimaging radio makes an image"
    elif not head:
        hint = "it is empty"
    else:
        hint = "convert it to one of these"
    raise FormatError(f"{path.name!r} is none of {KNOWN}: {hint}.")
