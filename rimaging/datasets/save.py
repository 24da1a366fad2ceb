"""Save a reconstruction: the suffix says the format, the measurement the geometry."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rimaging import __version__
from rimaging.datasets.bart import write_cfl_image
from rimaging.datasets.dicom import write_dicom
from rimaging.datasets.fits_planes import Plane, with_planes
from rimaging.datasets.fits_writer import fits_hdus
from rimaging.datasets.folder import is_folder, whole_folder
from rimaging.datasets.geometry import image_affine, is_sheared
from rimaging.datasets.hdf5 import write_hdf5
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.nifti import write_nifti
from rimaging.datasets.npz import write_npy, write_npz
from rimaging.datasets.picture import write_picture
from rimaging.datasets.picture_range import as_array, bits_of, magnitude, window_of
from rimaging.datasets.tiff_grid import enlarged
from rimaging.errors import FormatError, OptionError

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

__all__ = ["SUFFIXES", "as_hdus", "save", "sidecar"]

SUFFIXES = (".nii.gz", ".nii", ".h5", ".fits", ".png", ".tiff", ".tif", ".npz", ".npy", ".cfl")


def save(
    path: str | Path,
    image: Tensor | np.ndarray,
    measurement: Measurement | None = None,
    *,
    residual: Tensor | np.ndarray | None = None,
    uncertainty: Tensor | np.ndarray | None = None,
    provenance: dict[str, Any] | None = None,
    history: str = "",
    keep_complex: bool = False,
    bits: int | None = None,
    overwrite: bool = False,
    like: str | Path | None = None,
    planes: Sequence[Plane] = (),
) -> Path:
    """Write an image (..., y, x) in the format of the suffix and give the path.

    .nii, .nii.gz: volume with the measurement's affine, in mm. .fits: SCI, ERR, DQ, RES, PSFOUT and
    BEAMS under the input's header, further ``planes`` as extensions, and beside it, where there is
    a provenance, a .json with all of it. .h5, .npz: image, uncertainty, residual, provenance. .npy:
    the image. .cfl: with its .hdr, the image alone, slices and frames in BART's dimensions of these
    names. .png, .tif: pictures from 0 to 1, of ``bits`` 8 or 16 as the input had. Others, whose
    values have no white (floats, signed integers, skies, scans): .tif as float32 with the values as
    they are, .png from their 0.5th to 99.5th percentile (`stretch`). .tif holds stacks as pages,
    and those of ImageJ and OME as they came, with their axes and resolution. Pictures keep
    their ICC profile. Complex images become magnitudes in .nii, .fits and pictures, unless
    ``keep_complex`` (FITS: an extension PHASE). A path that ends with / is a folder of DICOM files,
    with ``like`` those of a series of the same scan (`rimaging.datasets.dicom.write_dicom`).
    File and folder appear whole or not at all: written under another name beside it, then renamed.

    Raises FormatError for an unknown suffix, an existing file without ``overwrite``, a missing
    folder, a full disk.
    """
    if like is not None or is_folder(path):
        kept = magnitude(as_array(image))
        return _save_dicom(path, kept, measurement, provenance or {}, history, like, overwrite)
    path = Path(path).expanduser()
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise FormatError(
            f"{path.name!r} has no suffix of {', '.join(SUFFIXES)}: choose one, or end with / for "
            "a folder of DICOM."
        )
    if path.is_dir() or (path.exists() and not overwrite):
        raise FormatError(f"{path.name!r} exists: choose another name, or overwrite=True.")
    if not path.parent.is_dir():
        raise FormatError(f"the folder of {path.name!r} does not exist: create it first.")
    if suffix == ".cfl":
        return write_cfl_image(path, as_array(image), overwrite=overwrite)
    beside = sidecar(path) if provenance else None
    if beside is not None and beside.exists() and not overwrite:
        raise FormatError(f"{beside.name!r} exists: choose another name, or overwrite=True.")
    named = {"image": image, "uncertainty": uncertainty, "residual": residual}
    arrays = {name: as_array(value) for name, value in named.items() if value is not None}
    try:
        handle, temporary = tempfile.mkstemp(suffix=suffix, prefix=".writing-", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise FormatError(f"cannot write beside {path.name!r}: {error.strerror}.") from error
    part = Path(temporary)
    try:
        facts = dict(provenance or {})
        _write(part, suffix, arrays, measurement, facts, history, keep_complex, bits, planes)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())  # mkstemp gives 0600
        if beside is not None:  # first: where the image is, its configuration is too
            notes = part.with_suffix(".json")
            try:
                notes.write_text(_configuration(path.name, facts, measurement), encoding="utf-8")
                notes.replace(beside)
            finally:
                notes.unlink(missing_ok=True)
        part.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FormatError(f"{path.name!r} was not written: {reason}.") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _write(
    path: Path,
    suffix: str,
    arrays: dict[str, np.ndarray],
    measurement: Measurement | None,
    provenance: dict[str, Any],
    history: str,
    keep_complex: bool,
    bits: int | None,
    planes: Sequence[Plane],
) -> None:
    if suffix == ".npz":
        write_npz(path, arrays, provenance)
    elif suffix == ".npy":
        write_npy(path, arrays)
    elif suffix == ".h5":
        affine, scanner = image_affine(measurement, arrays["image"].shape)
        write_hdf5(path, arrays, provenance, affine=affine, scanner=scanner)
    elif suffix == ".fits":
        _fits(path, arrays, measurement, provenance, history, keep_complex, planes)
    elif suffix in (".nii", ".nii.gz"):
        _nifti(path, arrays["image"], measurement, keep_complex)
    else:
        _picture(path, magnitude(arrays["image"]), measurement, bits)


def sidecar(path: Path) -> Path | None:
    """The JSON file beside a FITS file, ``<stem>.json``; other formats hold their provenance."""
    return path.with_suffix(".json") if path.name.lower().endswith(".fits") else None


def as_hdus(
    image: Tensor | np.ndarray,
    measurement: Measurement | None = None,
    *,
    residual: Tensor | np.ndarray | None = None,
    uncertainty: Tensor | np.ndarray | None = None,
    provenance: dict[str, Any] | None = None,
    history: str = "",
    planes: Sequence[Plane] = (),
) -> HDUList:
    """What `save` would write to a .fits file, in memory."""
    named = {"image": image, "uncertainty": uncertainty, "residual": residual}
    arrays = {name: as_array(value) for name, value in named.items() if value is not None}
    hdus = _hdus(arrays, measurement, dict(provenance or {}), history, False)
    return with_planes(hdus, planes)


def _fits(
    path: Path,
    arrays: dict[str, np.ndarray],
    measurement: Measurement | None,
    provenance: dict[str, Any],
    history: str,
    keep_complex: bool,
    planes: Sequence[Plane],
) -> None:
    hdus = with_planes(_hdus(arrays, measurement, provenance, history, keep_complex), planes)
    # what cannot be repaired in an old header goes on as it came
    hdus.writeto(path, checksum=True, output_verify="silentfix+ignore", overwrite=True)


def _hdus(
    arrays: dict[str, np.ndarray],
    measurement: Measurement | None,
    provenance: dict[str, Any],
    history: str,
    keep_complex: bool,
) -> HDUList:
    image, residual = arrays["image"], arrays.get("residual")
    hdus, converted = fits_hdus(
        magnitude(image),
        measurement,
        uncertainty=arrays.get("uncertainty"),
        residual=None if residual is None else magnitude(residual),
        phase=np.angle(image) if keep_complex and np.iscomplexobj(image) else None,
        provenance=provenance,
        history=history,
    )
    if converted:
        provenance["converted"] = converted
    return hdus


def _configuration(name: str, provenance: dict[str, Any], measurement: Measurement | None) -> str:
    """The whole configuration of a run as JSON: everything needed to repeat it."""
    facts: dict[str, Any] = {"file": name, **provenance}
    if measurement is not None:
        facts["shape"] = list(measurement.image_shape)
        facts["units"] = measurement.units
        if measurement.beams is not None:
            facts["beams_of_input_arcsec"] = measurement.beams.listed()
    return json.dumps(facts, indent=2, default=str) + "\n"


def _save_dicom(
    path: str | Path,
    image: np.ndarray,
    measurement: Measurement | None,
    provenance: dict[str, Any],
    history: str,
    like: str | Path | None,
    overwrite: bool,
) -> Path:
    path = Path(path).expanduser()
    if path.name.lower().endswith(SUFFIXES):
        raise OptionError(
            f"like= is for DICOM, {path.name!r} is none: name a folder, such as dicom/"
        )
    affine, scanner = image_affine(measurement, image.shape)
    description = "; ".join([history or f"rimaging {__version__}", *provenance.get("assumed", [])])
    facts = {} if measurement is None else measurement.provenance
    with whole_folder(path, ".dcm", overwrite=overwrite) as folder:
        write_dicom(
            folder,
            image,
            affine,
            scanner=scanner,
            like=like,
            description=description,
            thickness=facts.get("slice_thickness_mm"),
            patient_position=str(facts.get("patient_position", "")),
        )
    return path


def _nifti(
    path: Path, image: np.ndarray, measurement: Measurement | None, keep_complex: bool
) -> None:
    affine, scanner = image_affine(measurement, image.shape)
    if keep_complex and np.iscomplexobj(image):
        volume = image.astype(np.complex64)
    else:
        volume = magnitude(image).astype(np.float32)
    if affine is None:
        description = "rimaging; no geometry known"
    elif not scanner:
        description = "rimaging; voxel sizes only, no slice positions"
    elif is_sheared(affine):
        description = "rimaging; axes not perpendicular, see the sform"
    else:
        description = "rimaging"
    write_nifti(path, volume, affine, scanner=scanner, description=description)


def _picture(
    path: Path, image: np.ndarray, measurement: Measurement | None, bits: int | None
) -> None:
    bits = bits_of(path, measurement) if bits is None else bits
    window = None if bits == 32 else window_of(image, measurement)
    grid: dict[str, Any] = {} if measurement is None else measurement.provenance.get("grid", {})
    if grid and measurement is not None:
        y, x = (image.shape[axis] / measurement.data.shape[axis] for axis in (-2, -1))
        grid = enlarged(grid, y, x)
    write_picture(
        path,
        torch.from_numpy(np.array(image if bits == 32 else np.nan_to_num(image, nan=-np.inf))),
        bits=bits,
        window=window or (0.0, 1.0),
        colour=measurement is None
        or measurement.kind == "sky"
        or bool(measurement.provenance.get("colour")),
        grid=grid,
        profile=None if measurement is None else measurement.profile,
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
