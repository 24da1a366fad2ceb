"""fastMRI's HDF5: k-space of one volume in, reconstructed volumes out.

Datasets: `kspace` (slice, coil, y, x) or (slice, y, x), `mask` (x,), `reconstruction_rss` or
`reconstruction_esc` (slice, y, x), and `ismrmrd_header`, an XML text. y is the readout, which is
sampled twice as densely as it is kept. Source: Zbontar et al., arXiv:1811.08839.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.guard import existing_file, identity
from rimaging.datasets.hdf5_guard import array_of, checked_dataset, names_of, text_of
from rimaging.datasets.ismrmrd_header import Encoding, read_header
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.suspicions import check_coil_axis
from rimaging.errors import FormatError, RimagingError

__all__ = ["count_slices", "read_hdf5", "read_hdf5_array", "read_kspace", "write_hdf5"]

REFERENCES = ("reconstruction_rss", "reconstruction_esc")
DAMAGED = "HDF5 file is damaged or truncated: fetch or export it again."
NO_POSITIONS = "the file states no slice positions or directions; affine from voxel sizes only"
NUMBERS = ("acceleration", "num_low_frequency")


def read_hdf5(path: str | Path, part: slice | None = None) -> Measurement:
    """Read k-space (slice, coil, y, x), its mask, reference and voxel sizes.

    External links, external storage and virtual data sets are refused, since they read
    other files. The header gives voxel sizes and the size of the final image
    (``provenance["recon_size"]``) and nothing else: who was scanned stays in the file. Columns
    beyond the encoding limits are padding: the mask is zero there.

    ``part``: only these slices, read without the others; then the reference and the sha256 of the
    file, which take all of it, are left out.

    Raises FormatError for files that are damaged, lack `kspace`, or declare far more than is there.
    """
    import h5py

    path = existing_file(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            names = names_of(file)
            if "kspace" not in names:
                raise FormatError(
                    f"HDF5 file has {', '.join(sorted(names)) or 'nothing'}, expected 'kspace' "
                    "(fastMRI layout): rename the data set, or pass arrays; images are read from "
                    ".npy, .npz, .tif or .fits."
                )
            kspace = _kspace(array_of(file, "kspace", part))
            count = len(file["kspace"])
            mask = to_tensor(array_of(file, "mask"), "mask") if "mask" in names else None
            found = next((name for name in REFERENCES if name in names), None)
            whole = part is None and found is not None
            reference = to_tensor(array_of(file, str(found)), str(found)) if whole else None
            header = read_header(text_of(file, "ismrmrd_header"))
            acquisition = str(file.attrs.get("acquisition", ""))
            numbers = {name: _number(file.attrs.get(name)) for name in NUMBERS}
    except RimagingError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise FormatError(DAMAGED) from error
    provenance: dict[str, Any] = {"format": "fastMRI HDF5"}
    if part is None:
        provenance["sha256"] = identity(path)
    if acquisition in ACQUISITIONS:
        provenance["acquisition"] = acquisition
    provenance |= {name: value for name, value in numbers.items() if value is not None}
    encoding = None if header is None else header.encodings[0]
    if mask is not None:
        mask = (mask != 0).to(torch.float32).squeeze()
    padding = None if encoding is None else encoding.padding
    if padding is not None and 0 <= padding[0] < padding[1] <= kspace.shape[-1]:
        outside = torch.ones(kspace.shape[-1])
        outside[slice(*padding)] = 0
        # headers of other files may mean something else by their limits
        if bool(outside.any()) and not bool(kspace[..., outside > 0].any()):
            provenance["padding"] = list(padding)
            if mask is not None and mask.ndim == 1 and mask.shape == outside.shape:
                mask = mask * (1 - outside)
    affine = None
    if encoding is not None and _complete(encoding):
        affine = _affine(encoding, (count, *kspace.shape[1:]))
        affine[:3, 3] += (0 if part is None else part.indices(count)[0]) * affine[:3, 2]
        provenance["recon_size"] = [int(encoding.recon_matrix[0]), int(encoding.recon_matrix[1])]
        provenance["voxel_mm"] = [abs(float(affine[i, i])) for i in range(3)]
        provenance["fov_mm"] = list(encoding.fov)
        provenance["geometry"] = NO_POSITIONS
    return Measurement(
        kind="kspace",
        data=kspace,
        mask=mask,
        reference=reference,
        affine=affine,
        provenance=provenance,
    )


def read_hdf5_array(path: str | Path, names: Sequence[str]) -> np.ndarray:
    """The array of the first of these names, capitals or not; or the only one of the file.

    Raises FormatError that lists the names where there is none, and as `read_hdf5`.
    """
    import h5py

    path = existing_file(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            arrays = [n for n in sorted(names_of(file)) if isinstance(file[n], h5py.Dataset)]
            lower = {name.lower(): name for name in arrays}
            found = [lower[name] for name in names if name in lower]
            found = found or (arrays if len(arrays) == 1 else [])
            if not found:
                raise FormatError(
                    f"{path.name!r} has {', '.join(arrays) or 'no arrays'}, expected one of "
                    f"{', '.join(names)}: rename the data set."
                )
            return array_of(file, found[0])
    except RimagingError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise FormatError(DAMAGED) from error


def count_slices(path: str | Path) -> int:
    """How many slices `read_hdf5` would find; raises FormatError as it does."""
    import h5py

    try:
        with h5py.File(existing_file(path), "r", locking=False) as file:
            return len(checked_dataset(file, "kspace"))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FormatError(DAMAGED) from error


def read_kspace(path: str | Path, part: slice) -> Tensor:
    """K-space (slice, coil, y, x) of some slices, and nothing else of the file.

    Raises FormatError where these slices cannot be read, whatever state the others are in.
    """
    import h5py

    try:
        with h5py.File(existing_file(path), "r", locking=False) as file:
            return _kspace(array_of(file, "kspace", part))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise FormatError(DAMAGED) from error


# The values that fastMRI uses; free text of other files might name somebody.
ACQUISITIONS = {"AXFLAIR", "AXT1", "AXT1POST", "AXT1PRE", "AXT2", "CORPD_FBK", "CORPDFS_FBK"}


def _kspace(array: np.ndarray) -> Tensor:
    kspace = to_tensor(array, "kspace")
    if kspace.ndim == 3:
        kspace = kspace.unsqueeze(1)
    if kspace.ndim != 4:
        raise FormatError(
            f"HDF5 'kspace' has shape {array.shape}, expected (slice, coil, y, x) or (slice, y, x)."
        )
    check_coil_axis(kspace, "'kspace'")
    return kspace


def _number(value: Any) -> float | None:
    """A number of an attribute; nothing where it is text or not finite."""
    if not isinstance(value, int | float | np.number):
        return None
    return float(value) if math.isfinite(float(value)) else None


def _complete(encoding: Encoding) -> bool:
    """Whether the header states what voxel sizes and the crop are made of."""
    x, y, _ = encoding.fov
    values = (x, y, encoding.recon_fov[2], *encoding.recon_matrix)
    return all(math.isfinite(value) and value > 0 for value in values)


def _affine(encoding: Encoding, shape: tuple[int, ...]) -> np.ndarray:
    """Voxel sizes on the diagonal, the middle of the volume at the origin.

    The field of view is that of the encoded grid and stays with it, whatever the number of samples.
    Without directions, x runs to the left and y to the back, as in an axial picture.
    """
    slices, _, rows, columns = shape
    along_rows, along_columns, _ = encoding.fov  # the readout runs along y
    thickness = encoding.recon_fov[2] / encoding.recon_matrix[2]
    scale = np.diag([-along_columns / columns, -along_rows / rows, thickness, 1.0])
    scale[:3, 3] = -scale[:3, :3] @ ((np.array([columns, rows, slices]) - 1) / 2)
    return scale


def write_hdf5(
    path: Path,
    arrays: dict[str, np.ndarray],
    provenance: dict[str, Any],
    *,
    affine: np.ndarray | None = None,
    scanner: bool = False,
) -> None:
    """Write named arrays, and what fastMRI's `evaluate.py` reads of a reconstructed volume.

    That is `reconstruction`, the magnitude of ``image`` (slice, y, x), in a file of the name of the
    scan. Attributes: `max` and `norm` of it and the `acquisition`, as fastMRI's own files have;
    `provenance` as JSON; `affine` from voxels (x, y, slice) to mm, RAS+, and whether its origin is
    "scanner" or only voxel sizes are known ("aligned").
    """
    import h5py

    image = arrays["image"]
    volume = np.abs(image) if np.iscomplexobj(image) else image
    if volume.ndim == 2:
        volume = volume[None]
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        if volume is image:
            file["reconstruction"] = file["image"]  # a hard link: the same data, once
        else:
            file.create_dataset("reconstruction", data=volume)
        file.attrs["max"] = float(volume.max())
        file.attrs["norm"] = float(np.linalg.norm(volume))
        acquisition = provenance.get("input", {}).get("acquisition")
        if acquisition in ACQUISITIONS:
            file.attrs["acquisition"] = acquisition
        if affine is not None:
            file.attrs["affine"] = affine
            file.attrs["origin"] = "scanner" if scanner else "aligned"
        file.attrs["provenance"] = json.dumps(provenance, default=str)
