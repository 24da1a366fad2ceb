"""BART from Python: calibration and reconstruction by the program on PATH, files in between.

BART stores ``(x, y, z, coil, map)`` in Fortran order, which is our ``(map, coil, z, y, x)`` in C
order: the bytes are the same and nothing is transposed. Its transforms are centred and unitary, as
    ours.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rimaging.datasets.bart import read_cfl, write_cfl
from rimaging.errors import OptionError, RimagingError, ShapeError

Penalty = Literal["l2", "wavelet", "tv"]

_TERMS: dict[Penalty, str] = {"l2": "Q:{}", "wavelet": "W:3:0:{}", "tv": "T:3:0:{}"}


def available() -> bool:
    """Whether a program called ``bart`` is on PATH."""
    return shutil.which("bart") is not None


def version() -> str:
    """What ``bart version`` prints."""
    return _bart("version").strip()


def ecalib(kspace: Tensor, *, sets: int = 1, calibration: int = 24) -> Tensor:
    """Estimate coil maps by ESPIRiT, ``(coil, y, x) -> (set, coil, y, x)``.

    Args:
        kspace: complex ``(coil, y, x)``, fully sampled in the middle.
        sets: maps per coil; two where the field of view is smaller than the object.
        calibration: width of the calibration region in samples.

    Raises:
        ShapeError: k-space with a batch.
        RimagingError: BART is absent or fails.
    """
    coils, rows, columns = _check(kspace, 3, "(coil, y, x)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cfl(folder / "ksp", kspace[:, None])
        _bart("ecalib", "-d0", f"-m{sets}", f"-r{calibration}", "ksp", "maps", folder=folder)
        maps = read_cfl(folder / "maps").reshape(sets, coils, rows, columns)
    return torch.from_numpy(maps)


def pics(
    kspace: Tensor,
    mask: Tensor,
    maps: Tensor,
    *,
    penalty: Penalty,
    lamda: float,
    iterations: int = 100,
) -> Tensor:
    """Reconstruct by ``bart pics``: CG with L2, FISTA with wavelets, ADMM with total variation.

    BART divides the data by a scale of its own and multiplies it back (``-S``), so ``lamda`` is
    relative to the image.

    Args:
        kspace: complex ``(coil, y, x)``.
        mask: ``(y, x)``, 1 where measured.
        maps: complex ``(coil, y, x)`` or ``(set, coil, y, x)``.
        penalty: ``"l2"``, ``"wavelet"`` or ``"tv"``.
        lamda: weight of the penalty.
        iterations: steps of the algorithm that BART picks for the penalty.

    Returns:
        Complex ``(y, x)``, or ``(set, y, x)`` for maps with sets.

    Raises:
        ShapeError: arrays with a batch, or that do not fit each other.
        OptionError: an unknown penalty.
        RimagingError: BART is absent or fails.
    """
    if penalty not in _TERMS:
        raise OptionError(f"BART got penalty={penalty!r}: use one of {', '.join(_TERMS)}")
    _, rows, columns = _check(kspace, 3, "(coil, y, x)")
    if maps.shape[-3:] != kspace.shape or maps.ndim > 4 or mask.shape != kspace.shape[-2:]:
        raise ShapeError(
            f"BART got k-space {tuple(kspace.shape)}, maps {tuple(maps.shape)} and mask "
            f"{tuple(mask.shape)}: give ([set,] coil, y, x) maps and a (y, x) mask of the same size"
        )
    with_sets = maps if maps.ndim == 4 else maps[None]
    data = kspace * mask * _centring(rows)[:, None] * _centring(columns)
    arrays = {"ksp": data[:, None], "maps": with_sets[:, :, None], "mask": mask}
    image = _pics(arrays, ["-p", "mask"], penalty, lamda, iterations)
    return image.reshape(*maps.shape[:-3], rows, columns)


def pics_along(
    kspace: Tensor,
    trajectory: Tensor,
    maps: Tensor,
    weight: Tensor,
    *,
    penalty: Penalty,
    lamda: float,
    iterations: int = 100,
) -> Tensor:
    """Reconstruct by ``bart pics -t``, with the weights of ``-p``; see `pics`.

    The step of its FISTA is found from the largest eigenvalue (``-e``): the samples of a
    trajectory make the one it takes for masks diverge.

    Args:
        kspace: complex ``(coil, shot, sample)``.
        trajectory: ``(shot, sample, 2)``, order ``(ky, kx)``, in cycles per field of view.
        maps: complex ``(coil, y, x)`` or ``(set, coil, y, x)``.
        weight: real ``(shot, sample)``.
        penalty: ``"l2"``, ``"wavelet"`` or ``"tv"``.
        lamda: weight of the penalty.
        iterations: steps of the algorithm that BART picks for the penalty.

    Returns:
        Complex ``(y, x)``, or ``(set, y, x)`` for maps with sets.

    Raises:
        ShapeError: arrays with a batch, or that do not fit each other.
        OptionError: an unknown penalty.
        RimagingError: BART is absent or fails.
    """
    if penalty not in _TERMS:
        raise OptionError(f"BART got penalty={penalty!r}: use one of {', '.join(_TERMS)}")
    coils, *samples = _check(kspace, 3, "(coil, shot, sample)")
    if (
        maps.shape[-3] != coils
        or trajectory.shape != (*samples, 2)
        or list(weight.shape) != samples
    ):
        raise ShapeError(
            f"BART got k-space {tuple(kspace.shape)}, trajectory {tuple(trajectory.shape)}, maps "
            f"{tuple(maps.shape)} and weights {tuple(weight.shape)}: give the samples of one scan"
        )
    with_sets = maps if maps.ndim == 4 else maps[None]
    coordinates = torch.zeros((*samples, 3))
    coordinates[..., :2] = trajectory.flip(-1)  # (kx, ky, kz)
    arrays = {
        "ksp": kspace[..., None],
        "traj": coordinates,
        "weight": weight[..., None],
        "maps": with_sets[:, :, None],
    }
    step = ["-e"] if penalty == "wavelet" else []
    image = _pics(arrays, [*step, "-p", "weight", "-t", "traj"], penalty, lamda, iterations)
    return image.reshape(*maps.shape[:-3], *maps.shape[-2:])


def _pics(
    arrays: dict[str, Tensor], options: list[str], penalty: Penalty, lamda: float, iterations: int
) -> Tensor:
    """Run ``pics`` on ``ksp``, ``maps`` and what the options name, all of ``arrays``."""
    term = _TERMS[penalty].format(f"{lamda:.8g}")
    always = ["-d0", "-S", f"-i{iterations}", "-R", term]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, array in arrays.items():
            write_cfl(folder / stem, array)
        _bart("pics", *always, *options, "ksp", "maps", "image", folder=folder)
        return torch.from_numpy(read_cfl(folder / "image"))


def _centring(n: int) -> Tensor:
    """What ``pics`` 0.8 leaves out of a centred transform of length ``n``, along k-space.

    It multiplies k-space by ``m(j) = exp(2 pi i (j - c/2) c/n)``, ``c = n // 2``, where the centred
    transform asks for the conjugate: a sign ``(-1)^c`` for even ``n``, a shift for odd ``n``.
    """
    centre = n // 2
    phase = -4 * torch.pi * (torch.arange(n, dtype=torch.float64) - centre / 2) * centre / n
    return torch.polar(torch.ones_like(phase), phase).to(torch.complex64)


def _check(array: Tensor, axes: int, wanted: str) -> tuple[int, ...]:
    if array.ndim != axes:
        raise ShapeError(
            f"BART expects one item {wanted}, got {tuple(array.shape)}: loop over the batch"
        )
    return tuple(array.shape)


def _bart(command: str, *arguments: str, folder: Path | None = None) -> str:
    program = shutil.which("bart")
    if program is None:
        raise RimagingError("bart is not on PATH: install it (Debian: apt install bart)")
    done = subprocess.run(
        [program, command, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RimagingError(
            f"bart {command} {' '.join(arguments)} failed with {done.returncode}: "
            f"{said[-1] if said else 'no message'}"
        )
    return done.stdout
