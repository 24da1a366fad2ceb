"""MATLAB's .mat: version 7.3, which is HDF5, and the versions before it.

MATLAB counts (y, x, coil, slice, ...), so that HDF5, which turns axes round, has (..., slice, coil,
x, y): only x and y change places. Names are those of `rimaging.datasets.npz`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from rimaging.datasets.guard import check_declared, existing_file
from rimaging.datasets.hdf5_guard import array_of, names_of
from rimaging.errors import FormatError, RimagingError

__all__ = ["load_mat"]

NUMBERS = {
    "double", "single", "logical", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
    "uint64",
}  # fmt: skip


def load_mat(path: str | Path) -> dict[str, np.ndarray]:
    """Load every numeric array of a .mat, with axes (..., slice, coil, y, x).

    An array of MATLAB (y, x, coil, slice) comes as (slice, coil, y, x); vectors lose their axis of
    one entry. Cells, structures, objects and text are passed over.

    Raises FormatError for damaged files, links to others, and arrays beyond what is stored.
    """
    path = existing_file(path)
    with path.open("rb") as file:
        old = file.read(8) == b"MATLAB 5"
    arrays = _load_old(path) if old else _load_hdf5(path)
    return {name: _turned(array) for name, array in arrays.items()}


def _load_hdf5(path: Path) -> dict[str, np.ndarray]:
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            arrays = {}
            for name in sorted(names_of(file)):
                item = file[name]
                if not isinstance(item, h5py.Dataset) or item.dtype.hasobject:
                    continue
                kind = item.attrs.get("MATLAB_class", b"double")
                kind = kind.decode() if isinstance(kind, bytes) else str(kind)
                if kind in NUMBERS and "MATLAB_empty" not in item.attrs:
                    arrays[name] = array_of(file, name)
            return arrays
    except RimagingError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FormatError(".mat file is damaged or truncated: save it again.") from error


def _load_old(path: Path) -> dict[str, np.ndarray]:
    from scipy import io

    try:
        listed = io.whosmat(str(path))
        wanted = [name for name, _, kind in listed if kind in NUMBERS]
        declared = sum(16 * math.prod(map(int, shape)) for _, shape, kind in listed)
        check_declared(declared, path.stat().st_size, ".mat file")
        loaded: dict[str, Any] = io.loadmat(str(path), variable_names=wanted)
    except RimagingError:
        raise
    except Exception as error:  # scipy raises many kinds
        raise FormatError(
            ".mat file is damaged or of an unknown version: save it with -v7.3, or as .npz."
        ) from error
    # as HDF5 has them
    return {name: np.asarray(loaded[name]).T for name in wanted if name in loaded}


def _turned(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2 and 1 in array.shape:
        return array.reshape(-1)
    return array.swapaxes(-1, -2) if array.ndim >= 2 else array
