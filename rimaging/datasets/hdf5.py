"""fastMRI's HDF5: k-space of one volume in, reconstructed volumes out.

Datasets: `kspace` (slice, coil, y, x) or (slice, y, x), `mask` (x,), `reconstruction_rss` or
`reconstruction_esc` (slice, y, x), and `ismrmrd_header`, an XML text. y is the readout, which is
sampled twice as densely as it is kept. Source: Zbontar et al., arXiv:1811.08839.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.guard import check_declared, existing_file, identity
from rimaging.datasets.measurement import Measurement
from rimaging.errors import FormatError, RimagingError

__all__ = ["read_hdf5", "write_hdf5"]

REFERENCES = ("reconstruction_rss", "reconstruction_esc")
NO_POSITIONS = "the file states no slice positions or directions; affine from voxel sizes only"


def read_hdf5(path: str | Path) -> Measurement:
    """Read k-space (slice, coil, y, x), its mask, reference and voxel sizes.

    External links, external storage and virtual data sets are refused, since they read
    other files. The header gives voxel sizes and the size of the final image
    (``provenance["recon_size"]``) and nothing else: who was scanned stays in the file.

    Raises FormatError for files that are damaged, lack `kspace`, or declare far more than is there.
    """
    import h5py

    path = existing_file(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            names = _names(file)
            if "kspace" not in names:
                raise FormatError(
                    f"HDF5 file has {', '.join(sorted(names)) or 'nothing'}, expected 'kspace' "
                    "(fastMRI layout): rename the data set, or pass arrays."
                )
            kspace = _kspace(_dataset(file, "kspace"))
            mask = to_tensor(_dataset(file, "mask"), "mask") if "mask" in names else None
            found = next((name for name in REFERENCES if name in names), None)
            reference = None if found is None else to_tensor(_dataset(file, found), found)
            xml = _text(file) if "ismrmrd_header" in names else None
            acquisition = str(file.attrs.get("acquisition", ""))
    except RimagingError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise FormatError("HDF5 file is damaged or truncated: fetch or export it again.") from error
    if mask is not None:
        mask = (mask != 0).to(torch.float32).squeeze()
    provenance: dict[str, Any] = {"format": "fastMRI HDF5", "sha256": identity(path)}
    if acquisition in ACQUISITIONS:
        provenance["acquisition"] = acquisition
    geometry = None if xml is None else _geometry(xml)
    affine = None
    if geometry is not None:
        affine = _affine(geometry, tuple(kspace.shape))
        provenance["recon_size"] = [geometry["recon_y"], geometry["recon_x"]]
        provenance["voxel_mm"] = [abs(float(affine[i, i])) for i in range(3)]
        provenance["geometry"] = NO_POSITIONS
    return Measurement(
        kind="kspace",
        data=kspace,
        mask=mask,
        reference=reference,
        affine=affine,
        provenance=provenance,
    )


# The values that fastMRI uses; free text of other files might name somebody.
ACQUISITIONS = {"AXFLAIR", "AXT1", "AXT1POST", "AXT1PRE", "AXT2", "CORPD_FBK", "CORPDFS_FBK"}


def _names(file: Any) -> set[str]:
    """Names at the root of the file, without following links out of it."""
    import h5py

    names = set()
    for name in file:
        link = file.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise FormatError(
                "HDF5 file links to another file, refused: copy the data in (h5repack)."
            )
        if isinstance(link, h5py.SoftLink):
            continue  # within the file, but perhaps onto an external link
        names.add(str(name))
    return names


def _dataset(file: Any, name: str) -> np.ndarray:
    import h5py

    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(f"HDF5 '{name}' is a group, expected a data set: see fastMRI's layout.")
    if dataset.external or dataset.is_virtual:
        raise FormatError(
            f"HDF5 '{name}' is stored in another file, refused: copy it in (h5repack)."
        )
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    check_declared(declared, dataset.id.get_storage_size(), f"HDF5 '{name}'")
    if dataset.dtype.names and set(dataset.dtype.names) != {"r", "i"}:
        raise FormatError(
            f"HDF5 '{name}' has fields {dataset.dtype.names}, expected complex numbers."
        )
    return np.asarray(dataset[()])


def _text(file: Any) -> bytes:
    dataset = file["ismrmrd_header"]
    if dataset.external or dataset.is_virtual or dataset.shape not in ((), (1,)):
        return b""
    value = dataset[()]
    value = value[0] if isinstance(value, np.ndarray) else value
    return value if isinstance(value, bytes) else str(value).encode()


def _kspace(array: np.ndarray) -> Tensor:
    kspace = to_tensor(array, "kspace")
    if kspace.ndim == 3:
        kspace = kspace.unsqueeze(1)
    if kspace.ndim != 4:
        raise FormatError(
            f"HDF5 'kspace' has shape {array.shape}, expected (slice, coil, y, x) or (slice, y, x)."
        )
    return kspace


def _geometry(xml: bytes) -> dict[str, Any] | None:
    """Read matrix sizes and fields of view; None where the header does not state them."""
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml or len(xml) > 1 << 20:
        return None  # entities can expand without end
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None

    def number(space: str, group: str, axis: str) -> float:
        element = root.find(f"{{*}}encoding/{{*}}{space}/{{*}}{group}/{{*}}{axis}")
        return float(element.text) if element is not None and element.text else math.nan

    try:
        values = {
            "fov_y": number("encodedSpace", "fieldOfView_mm", "x"),
            "fov_x": number("encodedSpace", "fieldOfView_mm", "y"),
            "fov_z": number("reconSpace", "fieldOfView_mm", "z"),
            "matrix_z": number("reconSpace", "matrixSize", "z"),
            "recon_y": number("reconSpace", "matrixSize", "x"),
            "recon_x": number("reconSpace", "matrixSize", "y"),
        }
    except ValueError:
        return None
    if not all(math.isfinite(value) and value > 0 for value in values.values()):
        return None
    return {**values, "recon_y": int(values["recon_y"]), "recon_x": int(values["recon_x"])}


def _affine(geometry: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    """Voxel sizes on the diagonal, the middle of the volume at the origin.

    The field of view is that of the encoded grid and stays with it, whatever the number of samples.
    Without directions, x runs to the left and y to the back, as in an axial picture.
    """
    slices, _, rows, columns = shape
    thickness = geometry["fov_z"] / geometry["matrix_z"]
    scale = np.diag([-geometry["fov_x"] / columns, -geometry["fov_y"] / rows, thickness, 1.0])
    scale[:3, 3] = -scale[:3, :3] @ ((np.array([columns, rows, slices]) - 1) / 2)
    return scale


def write_hdf5(path: Path, arrays: dict[str, np.ndarray], provenance: dict[str, Any]) -> None:
    """Write named arrays and the provenance, as JSON in the attribute `provenance`.

    The magnitude of `image` is also `reconstruction`, the name that fastMRI's evaluation reads.
    """
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        image = arrays["image"]
        if np.iscomplexobj(image):
            file.create_dataset("reconstruction", data=np.abs(image))
        else:
            file["reconstruction"] = file["image"]  # a hard link: the same data, once
        file.attrs["provenance"] = json.dumps(provenance, default=str)
