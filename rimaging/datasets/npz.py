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

from rimaging.datasets.arrays import fill_invalid, filled_notes, to_tensor
from rimaging.datasets.guard import FREE, RATIO, check_declared, existing_file, identity
from rimaging.datasets.kinds import wrong_kind
from rimaging.datasets.mat import load_mat
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.suspicions import check_coil_axis
from rimaging.datasets.trajectory import with_shots
from rimaging.errors import FormatError, ShapeError

__all__ = ["NAMES", "find_name", "load_arrays", "read_mat", "read_npz", "write_npy", "write_npz"]

NAMES = {
    "kspace": ("kspace", "ksp", "k"),
    "image": ("image", "images", "img"),
    "mask": ("mask",),
    "maps": ("maps", "mps", "smaps", "csm", "sensitivities"),
    "noise": ("noise", "sigma"),
    "psf": ("psf", "psfs"),
    "reference": ("reference", "target", "truth"),
}
TRAJECTORIES = ("coord", "traj", "trajectory", "k")
DENSITIES = ("w", "dcf", "density", "weights")
MATRICES = ("image_shape", "matrix")


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
    psf, images are a sky. k-space of two axes is one coil; a lone array is k-space when complex
    with three or more axes, unless ``kind`` says otherwise. k-space with coord or traj (..., 2|3)
    in the order (ky, kx), or complex k = kx + i ky, is non-Cartesian, w or dcf its density.

    Raises FormatError that lists the names found when none of these is there.
    """
    path = existing_file(path)
    return _measurement(path, load_arrays(path), kind)


def read_mat(path: str | Path, *, kind: str | None = None) -> Measurement:
    """Read a measurement from the named arrays of a .mat, as `read_npz`.

    k-space is (y, x, coil, slice) in MATLAB's order, or (coil, y, x) where that alone can be.
    """
    path = existing_file(path)
    arrays = load_mat(path)
    name = find_name(arrays, NAMES["kspace"]) or _lone(arrays)
    note = ""
    if name is not None and arrays[name].ndim > 2:
        matlab = arrays[name].swapaxes(-1, -2).T
        order = ("y", "x", "coil", "slice")[: matlab.ndim]
        try:
            check_coil_axis(to_tensor(arrays[name], name))
        except ShapeError:
            check_coil_axis(to_tensor(matlab, name), f"'{name}'")
            order = ("slice", "coil", "y", "x")[-matlab.ndim :]
            arrays = {
                key: array.swapaxes(-1, -2).T if array.ndim > 2 else array
                for key, array in arrays.items()
            }
        note = f"MATLAB's {matlab.shape} read as ({', '.join(order)})"
    return _measurement(path, arrays, kind, note)


def _measurement(
    path: Path, arrays: dict[str, np.ndarray], kind: str | None, note: str = ""
) -> Measurement:
    if set(arrays) in ({"array"}, {"arr_0"}):  # a .npy, or np.savez without a name
        (array,) = arrays.values()
        kspace = kind == "kspace" or (kind is None and np.iscomplexobj(array) and array.ndim >= 3)
        arrays = {"kspace" if kspace else "image": array}
    found = {role: find_name(arrays, names) for role, names in NAMES.items()}
    if found["kspace"] is None and found["image"] is None and kind in (None, "kspace"):
        found["kspace"] = _lone(arrays)
    if kind == "kspace" or (kind is None and found["kspace"] is not None):
        return _kspace(path, arrays, found, note)
    if found["image"] is None and found["kspace"] is not None:
        raise wrong_kind("kspace", kind or "image")
    if found["image"] is None:
        raise FormatError(
            f".{_form(path)} file has {_listing(arrays)}; expected k-space under 'kspace' or "
            "'ksp', or images under 'image': rename the array, or pass it directly."
        )
    data = to_tensor(_image(arrays, found["image"]), found["image"])
    mask = _tensor(arrays, found["mask"])
    data, mask, filled = fill_invalid(data, mask)
    provenance: dict[str, Any] = {"format": _form(path), "sha256": identity(path)}
    if "scale" not in arrays:
        provenance["dtype"] = arrays[found["image"]].dtype.name
    if filled is not None:
        provenance["assumed"] = filled_notes(filled)
    sky = kind == "sky" or (kind is None and found["psf"] is not None)
    return Measurement(
        kind="sky" if sky else "image",
        data=data,
        noise=_tensor(arrays, found["noise"]),
        mask=mask,
        filled=filled,
        psf=_tensor(arrays, found["psf"]) if sky else None,
        reference=_tensor(arrays, found["reference"]),
        provenance=provenance,
    )


def _form(path: Path) -> str:
    """By content: what follows the last dot of a file's name may be a part of a person's."""
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"PK"):
        return "npz"
    return "npy" if head == b"\x93NUMPY" else "mat"


def _kspace(
    path: Path, arrays: dict[str, np.ndarray], found: dict[str, str | None], note: str
) -> Measurement:
    name = found["kspace"]
    if name is None and found["image"] is not None:
        raise wrong_kind("image" if found["psf"] is None else "sky", "kspace")
    if name is None:
        raise FormatError(
            f".{_form(path)} file has {_listing(arrays)}; expected 'kspace' or 'ksp'."
        )
    kspace = to_tensor(arrays[name], name)
    provenance: dict[str, Any] = {"format": _form(path), "sha256": identity(path)}
    if note:
        provenance["assumed"] = [note]
    maps = _tensor(arrays, found["maps"])
    reference = _tensor(arrays, found["reference"] or found["image"])
    others = {key: array for key, array in arrays.items() if key != name}
    along = find_name(others, TRAJECTORIES)
    if along is not None:
        return _along(kspace, others, along, maps, reference, provenance)
    kspace = kspace[None] if kspace.ndim == 2 else kspace
    check_coil_axis(kspace, f"'{name}'")
    mask = _tensor(arrays, found["mask"])
    return Measurement(
        kind="kspace",
        data=kspace,
        mask=None if mask is None else (mask != 0).to(mask.dtype),
        maps=maps,
        noise=_tensor(arrays, found["noise"]),
        reference=reference,
        provenance=provenance,
    )


def _along(
    kspace: Tensor,
    arrays: dict[str, np.ndarray],
    name: str,
    maps: Tensor | None,
    reference: Tensor | None,
    provenance: dict[str, Any],
) -> Measurement:
    """k-space (..., coil, shot, sample) along a trajectory in cycles per field of view or pixel."""
    path = arrays[name]
    if np.iscomplexobj(path):
        path = np.stack([path.imag, path.real], axis=-1)
    matrix = None
    given = find_name(arrays, MATRICES)
    if given is not None:
        matrix = tuple(int(n) for n in arrays[given].ravel())
    elif maps is None and reference is not None:
        matrix = tuple(reference.shape[-path.shape[-1] :])
    coordinates = to_tensor(path, name)
    kspace, coordinates = with_shots(kspace, coordinates)
    weights = find_name(arrays, DENSITIES)
    density = None if weights is None else to_tensor(arrays[weights], weights)
    if density is not None and density.ndim == coordinates.ndim - 2:
        density = density.unsqueeze(-2)
    return Measurement(
        kind="kspace",
        data=kspace.unsqueeze(0) if kspace.ndim == 2 else kspace,
        trajectory=coordinates,
        density=density,
        matrix=matrix,
        maps=maps,
        reference=reference,
        noise=_tensor(arrays, find_name(arrays, NAMES["noise"])),
        provenance=provenance,
    )


def find_name(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> str | None:
    """The array of the first of these names, capitals or not."""
    lower = {key.lower(): key for key in arrays}
    return next((lower[name] for name in names if name in lower), None)


def _lone(arrays: dict[str, np.ndarray]) -> str | None:
    """The only complex array of three or more axes, of whatever name."""
    likely = [key for key, array in arrays.items() if np.iscomplexobj(array) and array.ndim > 2]
    return likely[0] if len(likely) == 1 else None


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
