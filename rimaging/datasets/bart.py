"""BART's pair of files .cfl and .hdr: complex64 in Fortran order, sixteen named dimensions.

A `.hdr` is text: `# Dimensions` and the sizes (x, y, z, coil, set, ...). Turned round they are this
house's axes (..., set, coil, z, y, x). BART's transforms are centred, as ours; without `-u` they
are not orthonormal, which changes the scale of image and noise alike.
Source: https://bart-doc.readthedocs.io (file formats).
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.guard import check_declared, existing_file, identity
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.suspicions import check_coil_axis
from rimaging.datasets.volume_axes import SLICES_ALONG
from rimaging.datasets.volumes import split_axis, to_slices
from rimaging.errors import FormatError, ShapeError

__all__ = [
    "check_dimensions",
    "in_dimensions",
    "is_cfl",
    "read_cfl",
    "read_cfl_measurement",
    "squeezed",
    "write_cfl",
    "write_cfl_image",
]

NAMES = (
    "x", "y", "z", "coil", "set", "contrast", "coefficient", "coefficient2",
    "iteration", "shift", "time", "time2", "level", "slice", "average", "batch",
)  # fmt: skip
SIZES = 16
HERE = {"time": "frame", "z": "slice", "set": "maps"}
"""What an axis of a dimension is called, where not by BART's name."""

HOMES = {
    "frame": "time", "repetition": "time", "phase": "time2", "slab": "slice", "maps": "set",
    "set": "",
}  # fmt: skip
"""The dimension of an axis, where not that of its name; a scanner's sets have none."""

SUFFIXES = (".cfl", ".hdr")


def is_cfl(path: str | Path) -> bool:
    """Whether a path is one of BART's pair and both are there; the content of .hdr decides."""
    path = Path(path).expanduser()
    if path.suffix not in SUFFIXES or not all(path.with_suffix(s).is_file() for s in SUFFIXES):
        return False
    with path.with_suffix(".hdr").open("rb") as file:
        return file.read(4096).lstrip().startswith(b"# Dimensions")


def read_cfl(path: str | Path) -> np.ndarray:
    """Read an array with the axes of BART turned round, (..., set, coil, z, y, x).

    Axes in front that have one entry are left out, but never z, y and x. ``path`` may end with
    .cfl, .hdr or neither.

    Raises FormatError for a missing half of the pair, and for sizes that are not those of the data.
    """
    base = Path(path).expanduser()
    base = base.with_suffix("") if base.suffix in SUFFIXES else base
    header, data = (existing_file(base.parent / (base.name + s)) for s in (".hdr", ".cfl"))
    sizes = _sizes(header)
    stored = data.stat().st_size
    declared = 8 * math.prod(sizes)
    check_declared(declared, stored, f"{header.name!r}")
    if declared != stored:
        raise FormatError(
            f"{header.name!r} says {' x '.join(map(str, sizes))} = {declared} bytes, "
            f"{data.name!r} has {stored}: the pair is damaged or of two arrays, write it again."
        )
    values = np.fromfile(data, dtype="<c8")
    lead = max((i for i, size in enumerate(sizes) if size > 1), default=2)
    return values.reshape(sizes[: max(lead + 1, 3)], order="F").T


def read_cfl_measurement(path: str | Path, *, kind: str | None = None) -> Measurement:
    """Read k-space, or images: by default k-space where there are several coils.

    k-space (..., coil, y, x) with what BART counts (contrast, time, slice) in front, by name in
    ``provenance["axes"]``; volumes with several z are split into slices along an axis without gaps.

    Raises FormatError for maps, trajectories and k-space along one.
    """
    array = read_cfl(path)
    path = Path(path).expanduser()
    notes = ["BART's axes (x, y, z, coil, ...) turned round; its Fourier transform is centred"]
    provenance: dict[str, Any] = {
        "format": "BART cfl",
        "sha256": identity(path.with_suffix(".cfl")),
        "assumed": notes,
    }
    _refuse_others(array)
    full = array.reshape((1,) * max(0, 4 - array.ndim) + array.shape)  # (..., coil, z, y, x)
    if kind != "kspace" and (kind is not None or full.shape[-4] == 1):
        image = torch.from_numpy(np.ascontiguousarray(squeezed(array)))
        provenance["axes"] = _names(array.shape[:-2], NAMES.index("z"))
        return Measurement(kind="image", data=image, provenance=provenance)
    lead = full.shape[:-5] if full.ndim > 4 else ()
    if full.ndim > 4 and full.shape[-5] > 1:
        raise FormatError(
            f"the cfl holds {full.shape[-5]} sets of maps, expected k-space: give it as maps."
        )
    kspace = torch.from_numpy(np.ascontiguousarray(full.reshape(*lead, *full.shape[-4:])))
    kspace = kspace.squeeze(tuple(i for i, n in enumerate(lead) if n == 1))
    names = _names(lead, NAMES.index("contrast"))
    if kspace.shape[-3] > 1:
        axis = split_axis((kspace != 0).any(dim=-4).to(torch.float32))
        kspace = to_slices(kspace, axis)
        names = [*("slab" if name == "slice" else name for name in names), "slice"]
        provenance["split"] = f"volume split into slices along {axis}"
        provenance[SLICES_ALONG] = axis
    else:
        kspace = kspace.squeeze(-3)
    if names:
        provenance["axes"] = names
    check_coil_axis(kspace, "the cfl, turned round,")
    return Measurement(kind="kspace", data=kspace, provenance=provenance)


def squeezed(array: np.ndarray) -> np.ndarray:
    """Without the axes of one entry, but y and x."""
    return array.squeeze(tuple(a for a in range(array.ndim - 2) if array.shape[a] == 1))


def write_cfl(path: str | Path, array: np.ndarray | Tensor, *, overwrite: bool = False) -> Path:
    """Write an array (..., set, coil, z, y, x) as BART's pair of complex64; give the path of .cfl.

    Shorter arrays end with x as well: an image (y, x) needs no axes of one entry in front. Both
    files appear whole under their names or not at all, the data before the header.

    Raises FormatError for a file that exists, a missing folder, a full disk; ShapeError for more
    than sixteen axes.
    """
    path = Path(path).expanduser()
    base = path.with_suffix("") if path.suffix in SUFFIXES else path
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
    if values.ndim > SIZES:
        raise ShapeError(
            f"an array of {values.ndim} axes does not fit a cfl: it has {SIZES}, join some."
        )
    targets = [base.parent / (base.name + suffix) for suffix in SUFFIXES]
    if not overwrite and any(target.exists() for target in targets):
        raise FormatError(f"{targets[0].name!r} exists: choose another name, or overwrite=True.")
    if not base.parent.is_dir():
        raise FormatError(f"the folder of {targets[0].name!r} does not exist: create it first.")
    sizes = (*values.shape[::-1], *(1,) * (SIZES - values.ndim))
    text = "# Dimensions\n" + " ".join(map(str, sizes)) + "\n"
    # C order with the axes turned round is Fortran order
    content = np.ascontiguousarray(values, dtype="<c8")
    _replace_both(targets, (content.tofile, lambda file: file.write(text.encode())))
    return targets[0]


def write_cfl_image(path: Path, image: np.ndarray, *, overwrite: bool) -> Path:
    """Write images (frame, slice, y, x), (slice, y, x) or (y, x) in BART's dimensions; see above.

    Axes with names are put there by `in_dimensions` before. Raises FormatError for more axes, which
    have no name, and as `write_cfl`.
    """
    if image.ndim < SIZES:
        check_dimensions(image.shape)
        image = in_dimensions(image, ("frame", "slice")[4 - image.ndim :])
    return write_cfl(path, image, overwrite=overwrite)


def in_dimensions(image: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """An image (..., y, x) as BART's dimensions turned round, each axis in that of its name.

    Raises FormatError as `check_dimensions`.
    """
    check_dimensions(image.shape, names)
    at = [SIZES - 1 - place for place in _homes(names)]
    sizes = [1] * SIZES
    for place, size in zip((*at, SIZES - 2, SIZES - 1), image.shape, strict=True):
        sizes[place] = size
    order = sorted(range(len(at)), key=at.__getitem__)
    return image.transpose(*order, -2, -1).reshape(sizes)


def check_dimensions(shape: Sequence[int], names: Sequence[str] = ()) -> None:
    """Refuse an image (..., y, x) whose axes a .cfl has no dimensions for, by FormatError.

    Without names it may have two in front, of frames and slices.
    """
    if len(names) != len(shape) - 2:
        fits, said = len(shape) <= 4, ""
    else:
        homes = _homes(names)
        fits, said = -1 not in homes and len(set(homes)) == len(homes), f" ({', '.join(names)})"
    if not fits:
        raise FormatError(
            f"an image of shape {tuple(shape)}{said} does not fit a cfl, expected (frame, slice, "
            "y, x): join axes, or save it as .npz."
        )


def _names(lead: Sequence[int], last: int) -> list[str]:
    """Names of axes of more than one entry, of which the last is BART's dimension of that number.

    Where both its slices and its z count, those are slabs.
    """
    dimensions = [NAMES[last + i] for i in range(len(lead))][::-1]
    found = [name for name, n in zip(dimensions, lead, strict=True) if n > 1]
    slabs = "z" in found
    return ["slab" if n == "slice" and slabs else HERE.get(n, n) for n in found]


def _homes(names: Sequence[str]) -> list[int]:
    """The number of the dimension of each axis; -1 where there is none."""
    homes = []
    for name in names:
        home = "z" if name == "slice" and "slab" in names else HOMES.get(name, name)
        homes.append(NAMES.index(home) if home in NAMES[2:] else -1)
    return homes


def _replace_both(targets: list[Path], writers: tuple[Callable[[Any], Any], ...]) -> None:
    parts: list[Path] = []
    try:
        for target, write in zip(targets, writers, strict=True):
            handle, temporary = tempfile.mkstemp(prefix=".writing-", dir=target.parent)
            parts.append(Path(temporary))
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            parts[-1].chmod(0o666 & ~_umask())  # mkstemp gives 0600
        for part, target in zip(parts, targets, strict=True):
            part.replace(target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FormatError(f"{targets[0].name!r} was not written: {reason}.") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sizes(header: Path) -> tuple[int, ...]:
    with header.open("rb") as file:
        lines = file.read(1 << 16).decode("latin-1").splitlines()
    marks = [i for i, line in enumerate(lines) if line.strip() == "# Dimensions"]
    try:
        sizes = tuple(int(word) for word in lines[marks[0] + 1].split())
    except (IndexError, ValueError):
        sizes = ()
    if not sizes or min(sizes) < 1 or len(sizes) > 64:
        raise FormatError(
            f"{header.name!r} has no line of sizes after '# Dimensions', expected up to {SIZES} "
            "whole numbers above 0: write it again with BART."
        )
    return sizes


def _refuse_others(array: np.ndarray) -> None:
    """Trajectories (3, samples, spokes) and their k-space (1, samples, spokes, coil)."""
    shape = array.shape[::-1]
    if shape[0] == 3 and bool((array.imag == 0).all()):
        raise FormatError(
            f"the cfl has {' x '.join(map(str, shape))} real numbers, a trajectory: read it with "
            "the k-space along it, rimaging.datasets.bart_trajectory.read_cfl_along."
        )
    if shape[0] == 1 and shape[1] > 1:
        raise FormatError(
            f"the cfl has {' x '.join(map(str, shape))} samples, BART's order of k-space along a "
            "trajectory: read both with rimaging.datasets.bart_trajectory.read_cfl_along."
        )
