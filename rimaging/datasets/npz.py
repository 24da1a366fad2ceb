"""NumPy's .npz and .npy: arrays under the names that scripts of the field use."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from torch import Tensor

from rimaging.datasets.arrays import fill_invalid, to_tensor
from rimaging.datasets.guard import FREE, RATIO, check_declared, existing_file, identity
from rimaging.datasets.measurement import Measurement
from rimaging.errors import FormatError

__all__ = ["load_arrays", "read_npz", "write_npy", "write_npz"]

NAMES = {
    "kspace": ("kspace", "ksp", "k"),
    "image": ("image", "images", "img"),
    "mask": ("mask",),
    "maps": ("maps", "mps", "smaps", "csm", "sensitivities"),
    "noise": ("noise", "sigma"),
    "psf": ("psf", "psfs"),
    "reference": ("reference", "target", "truth"),
}
TRAJECTORIES = ("coord", "traj", "trajectory", "w", "dcf")


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Load every numeric array of a .npz, or the one of a .npy as "array"; never a pickle.

    Raises FormatError for objects (pickles), damaged files and arrays that declare
    more than is stored of them.
    """
    path = existing_file(path)
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                file.seek(0)
                return {"array": _read_npy(file, path.stat().st_size, "array")}
        arrays = {}
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if info.file_size > max(FREE, RATIO * info.compress_size):
                    raise FormatError(
                        f"array '{name}' holds {info.compress_size} bytes and expands to "
                        f"{info.file_size}, expected at most {RATIO}-fold: save it uncompressed."
                    )
                with archive.open(info) as member:
                    arrays[name] = _read_npy(member, info.file_size, name)
        return arrays
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise FormatError(
            f"{path.name!r} is no .npy or .npz file, or damaged: save it again with numpy."
        ) from error


def _read_npy(file: IO[bytes], stored: int, name: str) -> np.ndarray:
    """Read one array after comparing its header with the bytes that are there."""
    head = file.read(min(stored, 1 << 16))
    buffer = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(buffer)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(buffer)
    except Exception as error:  # numpy parses the header as Python: any error of a parser
        raise FormatError(
            f"array '{name}' has no header of numpy: it is damaged, save it again with numpy."
        ) from error
    if dtype.hasobject:
        raise FormatError(
            f"array '{name}' is a pickle, refused: save it as numbers (dtype {dtype})."
        )
    declared = math.prod(shape) * dtype.itemsize
    check_declared(declared, stored, f"array '{name}'")
    if declared > stored - buffer.tell():
        raise FormatError(
            f"array '{name}' declares {declared} bytes and {stored - buffer.tell()} are there: "
            "it was truncated, save it again."
        )
    data = head[buffer.tell() :] + file.read(declared)
    values = np.frombuffer(data, dtype=dtype, count=math.prod(shape))
    return values.reshape(shape, order="F" if fortran else "C")


def read_npz(path: str | Path, *, kind: str | None = None) -> Measurement:
    """Read a measurement from named arrays.

    k-space under ksp, kspace or k; images under image or images (divided by `scale` when integers
    come with one); further mask, maps (mps, smaps, csm), noise (sigma), psf and reference. With a
    psf, images are a sky. k-space of two axes is one coil; a lone array without a name is
    k-space when complex with three or more axes, unless ``kind`` says otherwise.

    Raises FormatError that lists the names found when none of these is there.
    """
    path = existing_file(path)
    arrays = load_arrays(path)
    if set(arrays) in ({"array"}, {"arr_0"}):  # a .npy, or np.savez without a name
        (array,) = arrays.values()
        kspace = kind == "kspace" or (kind is None and np.iscomplexobj(array) and array.ndim >= 3)
        arrays = {"kspace" if kspace else "image": array}
    found = {role: _find(arrays, names) for role, names in NAMES.items()}
    if kind == "kspace" or (kind is None and found["kspace"] is not None):
        return _kspace(path, arrays, found)
    if found["image"] is None:
        raise FormatError(
            f"{path.suffix} file has {_listing(arrays)}; expected k-space under 'kspace' or 'ksp', "
            "or images under 'image': rename the array, or pass it directly."
        )
    data = to_tensor(_image(arrays, found["image"]), found["image"])
    mask = _tensor(arrays, found["mask"])
    data, mask, filled = fill_invalid(data, mask)
    provenance: dict[str, Any] = {"format": path.suffix.lstrip("."), "sha256": identity(path)}
    if filled:
        provenance["assumed"] = [f"{filled} NaN pixels masked and filled with the median"]
    sky = kind == "sky" or (kind is None and found["psf"] is not None)
    return Measurement(
        kind="sky" if sky else "image",
        data=data,
        noise=_tensor(arrays, found["noise"]),
        mask=mask,
        psf=_tensor(arrays, found["psf"]) if sky else None,
        reference=_tensor(arrays, found["reference"]),
        provenance=provenance,
    )


def _kspace(path: Path, arrays: dict[str, np.ndarray], found: dict[str, str | None]) -> Measurement:
    name = found["kspace"]
    if name is None:
        raise FormatError(f"{path.suffix} file has {_listing(arrays)}; expected 'kspace' or 'ksp'.")
    others = [key for key in (*TRAJECTORIES, "k") if key in arrays and key != name]
    if others:
        raise FormatError(
            f"k-space comes with {', '.join(map(repr, others))}, a trajectory or its weights: this "
            "version reconstructs Cartesian k-space; grid it first (e.g. sigpy.gridding)."
        )
    kspace = to_tensor(arrays[name], name)
    mask = _tensor(arrays, found["mask"])
    return Measurement(
        kind="kspace",
        data=kspace[None] if kspace.ndim == 2 else kspace,
        mask=None if mask is None else (mask != 0).to(mask.dtype),
        maps=_tensor(arrays, found["maps"]),
        noise=_tensor(arrays, found["noise"]),
        reference=_tensor(arrays, found["reference"] or found["image"]),
        provenance={"format": path.suffix.lstrip("."), "sha256": identity(path)},
    )


def _find(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in arrays), None)


def _tensor(arrays: dict[str, np.ndarray], name: str | None) -> Tensor | None:
    return None if name is None else to_tensor(arrays[name], name)


def _image(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    image: np.ndarray = arrays[name]
    scale = arrays.get("scale")
    if scale is None or image.dtype.kind not in "ui" or scale.shape != image.shape[: scale.ndim]:
        return image
    divided: np.ndarray = image / scale.reshape(scale.shape + (1,) * (image.ndim - scale.ndim))
    return divided


def _listing(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"'{name}' {array.shape}" for name, array in arrays.items()) or "no arrays"


def write_npz(path: Path, arrays: dict[str, np.ndarray], provenance: dict[str, Any]) -> None:
    """Write named arrays, and the provenance as JSON text in `provenance`."""
    text: Any = np.array(json.dumps(provenance, default=str))
    named: dict[str, Any] = {**arrays, "provenance": text}
    with path.open("wb") as file:
        np.savez(file, **named)


def write_npy(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the image alone."""
    with path.open("wb") as file:
        np.save(file, arrays["image"], allow_pickle=False)
