"""HDF5 files that may be damaged or hostile: what is in them, and reading only that."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from rimaging.datasets.guard import check_declared
from rimaging.errors import FormatError

__all__ = ["array_of", "checked_dataset", "layout", "listing", "names_of", "text_of"]

TEXT = 1 << 24  # bytes of the longest text that is read


def layout(path: Path) -> str:
    """Tell "ismrmrd", "mat" (MATLAB 7.3) or "hdf5" (all else, fastMRI's layout among it).

    ISMRMRD has a group with the data sets `data` and `xml`; MATLAB marks its data sets with the
    attribute `MATLAB_class`. A damaged file is "hdf5": its reader says what is wrong.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            names = names_of(file)
            if any(is_ismrmrd(file[name]) for name in names):
                return "ismrmrd"
            marked = any("MATLAB_class" in file[name].attrs for name in names)
            return "mat" if marked else "hdf5"
    except (FormatError, OSError, RuntimeError, KeyError, ValueError):
        return "hdf5"


def listing(path: Path) -> str:
    """Names, shapes and types of what is in the root of a file, for people; no content."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            parts = []
            for name in sorted(names_of(file)):
                item = file[name]
                array = isinstance(item, h5py.Dataset)
                parts.append(f"{name} {item.shape} {item.dtype}" if array else f"{name}/")
    except (FormatError, OSError, RuntimeError, KeyError, ValueError):
        return "nothing that can be read"
    return ", ".join(parts) or "nothing"


def is_ismrmrd(item: Any) -> bool:
    """Whether a group holds acquisitions and their header."""
    import h5py

    return isinstance(item, h5py.Group) and "data" in item and "xml" in item


def names_of(group: Any) -> set[str]:
    """Names in a group, without following links out of the file.

    Raises FormatError for external links. Soft links are passed over: they stay within the file,
    but perhaps lead onto an external link.
    """
    import h5py

    names = set()
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise FormatError(
                "HDF5 file links to another file, refused: copy the data in (h5repack)."
            )
        if not isinstance(link, h5py.SoftLink):
            names.add(str(name))
    return names


def checked_dataset(group: Any, name: str) -> Any:
    """Give a data set that is stored in this file and declares no more than is stored.

    Raises FormatError for groups, external storage, virtual data sets and shapes without data.
    """
    import h5py

    if name not in names_of(group):
        raise FormatError(f"HDF5 file has no '{name}', expected a data set: export it again.")
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(f"HDF5 '{name}' is a group, expected a data set: see the format.")
    if dataset.external or dataset.is_virtual:
        raise FormatError(
            f"HDF5 '{name}' is stored in another file, refused: copy it in (h5repack)."
        )
    if dataset.shape is None:
        raise FormatError(f"HDF5 '{name}' is empty, expected an array: export it again.")
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    check_declared(declared, dataset.id.get_storage_size(), f"HDF5 '{name}'")
    return dataset


def array_of(group: Any, name: str, part: slice | None = None) -> np.ndarray:
    """Read numbers, or a ``part`` of them; complex ones have fields (r, i) or (real, imag).

    Raises FormatError, as `checked_dataset` and for other fields.
    """
    dataset = checked_dataset(group, name)
    fields = dataset.dtype.names
    values = np.asarray(dataset[() if part is None else part])
    if not fields:
        return values
    for real, imaginary in (("r", "i"), ("real", "imag")):
        if set(fields) == {real, imaginary}:
            wide = np.result_type(dataset.dtype[real], np.complex64)
            joined = np.empty(values.shape, wide)
            joined.real, joined.imag = values[real], values[imaginary]
            return joined
    raise FormatError(f"HDF5 '{name}' has fields {fields}, expected complex numbers.")


def text_of(group: Any, name: str) -> bytes:
    """Read one text, or nothing where it is no text of this file."""
    try:
        dataset = checked_dataset(group, name)
    except FormatError:
        return b""
    if dataset.shape not in ((), (1,)) or dataset.dtype.itemsize > TEXT:
        return b""
    value = dataset[()]
    value = value[0] if isinstance(value, np.ndarray) else value
    return value if isinstance(value, bytes) else str(value).encode()
