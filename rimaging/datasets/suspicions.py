"""k-space that is not what it seems: coils in another axis, zero frequency in a corner, gaps.

Each finding is an error that says the repair, or of a file a repair that is said. What these look
at is the energy |k|^2 alone. Data without a clear peak (noise, a single line) raise no suspicion.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, ShapeError
from rimaging.operators.fourier import centred_ifft

__all__ = ["check_array", "check_coil_axis", "look_over"]

COILS = 64  # more receivers than this are told by their names, not by shape
PEAKED = 5.0  # how much more an axis of k-space is peaked than one of coils
SHARE = 0.25  # of all energy around its peak: else there is no clear peak
CLEAR = 4.0  # energy around the peak over that around the middle
SURE = 8.0  # edge of an image over its middle, before anything is said of it
SMALLEST = 16  # sides that are judged


def look_over(measurement: Measurement) -> Measurement:
    """Repair or refuse k-space of a file, and say so in ``provenance["assumed"]``.

    Zero frequency in a corner is moved to the middle; empty slices at the ends of a volume are left
    out. Raises DataError where zero frequency is elsewhere, and for empty slices in between.
    """
    if measurement.kind != "kspace" or measurement.trajectory is not None:
        return measurement
    return _centred(_without_gaps(measurement))


def check_array(measurement: Measurement) -> None:
    """Refuse k-space of an array where `look_over` would refuse or move that of a file.

    Nothing is moved, so that residual and image lie as the array does. Raises ShapeError as
    `check_coil_axis`, DataError where zero frequency is not in the middle.
    """
    if measurement.kind != "kspace" or measurement.trajectory is not None:
        return
    check_coil_axis(measurement.data)
    moved, found = _misplaced(measurement.data)
    if moved:
        height, width = measurement.data.shape[-2:]
        raise DataError(
            f"zero frequency seems to be at {found}, expected ({height // 2}, {width // 2}), the "
            f"middle of k-space: give np.fft.fftshift(kspace, axes={moved}), its mask and maps "
            "likewise where they are shifted as well."
        )


def check_coil_axis(kspace: Tensor, name: str = "k-space") -> None:
    """Refuse k-space whose coils are in another axis than (..., coil, y, x).

    The axis of coils is short, and its energy spread; along an axis of k-space it is peaked. Coils
    and slices cannot be told from each other. Raises ShapeError that names the axis.
    """
    if kspace.ndim < 3 or not kspace.is_complex():
        return
    place = kspace.ndim - 3
    energy = _energy(kspace)
    peaks: dict[int, float] = {}
    for axis in range(kspace.ndim):
        others = tuple(a for a in range(kspace.ndim) if a != axis)
        profile = energy.sum(dim=others)
        profile = profile[profile > 0]
        peaks[axis] = float(profile.max() / profile.median()) if len(profile) else 1.0
    spatial = kspace.shape[place]
    likely = [
        axis
        for axis in (kspace.ndim - 2, kspace.ndim - 1)
        if 2 <= kspace.shape[axis] <= COILS
        and spatial > kspace.shape[axis]
        and peaks[place] > PEAKED * peaks[axis]
    ]
    if not likely:
        return
    axis = min(likely, key=lambda a: kspace.shape[a])
    raise ShapeError(
        f"{name} has shape {tuple(kspace.shape)}, expected (..., coil, y, x): axis {axis} "
        f"({kspace.shape[axis]} long) looks like the coils, move it: "
        f"np.moveaxis(kspace, {axis}, {place})."
    )


def _energy(values: Tensor) -> Tensor:
    """``|v|^2`` over its maximum: squares of large and small numbers are none in float32."""
    size = values.abs()
    return (size / size.max().clamp_min(torch.finfo(size.dtype).tiny)).square()


def _centred(measurement: Measurement) -> Measurement:
    data = measurement.data
    if min(data.shape[-2:]) < SMALLEST:
        return measurement
    moved, found = _misplaced(data)
    if found is None:
        around = [axis for axis, ratio in _edges_over_middle(data).items() if ratio > SURE]
        notes = [
            f"the object lies around the edge of the image along {'yx'[axis + 2]}: if it should "
            "not, multiply k-space by (-1)^k there"
            for axis in around
        ]
        return _noted(measurement, notes)
    if measurement.maps is not None:
        raise DataError(
            f"zero frequency seems to be at {found}, a corner, and maps may be shifted as well: "
            "move both to the middle, e.g. np.fft.fftshift(kspace, axes=(-2, -1))."
        )
    names = " and ".join("yx"[axis + 2] for axis in moved)
    shifted = _shifted(measurement, moved)
    note = (
        f"zero frequency was in the corner: moved to the middle along {names} (fftshift; if the "
        "image lies half a field of view off, shift k-space before)"
    )
    ratios = _edges_over_middle(shifted.data)
    # whoever leaves out the shift of k-space often leaves out that of the image, of both axes
    if math.prod(ratios[axis] for axis in moved) > 1:
        data = shifted.data
        for axis in moved:
            data = _rolled(data, axis)
        shifted = replace(shifted, data=data)
        note += ", and the image by half its field of view: it lay around its edge"
    return _noted(shifted, [note])


def _misplaced(data: Tensor) -> tuple[tuple[int, ...], tuple[int, int] | None]:
    """The axes along which zero frequency is in a corner, and where it is, if that is clear.

    Raises DataError where it is neither there nor in the middle.
    """
    if min(data.shape[-2:]) < SMALLEST:
        return (), None
    found = _off_centre(_energy(data).sum(dim=tuple(range(data.ndim - 2))))
    if found is None:
        return (), None
    height, width = data.shape[-2:]
    moved = []
    for axis, (at, size) in zip((-2, -1), zip(found, (height, width), strict=True), strict=True):
        reach = max(1, size // 16)
        if abs(at - size // 2) <= reach:
            continue
        if min(at, size - at) > reach:
            raise DataError(
                f"zero frequency seems to be at {found}, expected ({height // 2}, {width // 2}), "
                "the middle of k-space: pad what was left out (partial Fourier) with zeros, "
                "or np.roll it."
            )
        moved.append(axis)
    return tuple(moved), found


def _off_centre(energy: Tensor) -> tuple[int, int] | None:
    """Where the energy (y, x) peaks, unless that is the middle, or nowhere clearly."""
    around = energy
    for axis in (-2, -1):
        reach = max(1, energy.shape[axis] // 16)
        around = torch.stack([around.roll(s, axis) for s in range(-reach, reach + 1)]).sum(0)
    height, width = energy.shape
    middle, peak = float(around[height // 2, width // 2]), float(around.max())
    if peak < SHARE * float(energy.sum()) or peak < CLEAR * middle:
        return None
    # the sample itself, not the middle of a plateau
    masked = energy * (around > 0.5 * peak)
    at = int(masked.argmax())
    return at // width, at % width


def _edges_over_middle(data: Tensor) -> dict[int, float]:
    """By axis: how much the edge of a low resolution image outshines its middle.

    An image moved by half its field of view has air, or the wrapped body, in its middle.
    """
    height, width = data.shape[-2:]
    down, across = (min(size // 2, max(8, size // 8)) for size in (height, width))
    block = data[
        ...,
        height // 2 - down : height // 2 + down,
        width // 2 - across : width // 2 + across,
    ]
    image = _energy(centred_ifft(block)).sum(dim=tuple(range(data.ndim - 2))).sqrt()
    ratios = {}
    for axis in (-2, -1):
        profile = image.mean(dim=-3 - axis)
        middle = len(profile) // 2
        inner = float(profile[middle - 1] + profile[middle])
        ratios[axis] = float(profile[0] + profile[-1]) / max(inner, 1e-30)
    return ratios


def _shifted(measurement: Measurement, axes: tuple[int, ...]) -> Measurement:
    def shift(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim < 2:
            return value
        return torch.fft.fftshift(value, axes)

    mask, noise = measurement.mask, measurement.noise
    return replace(measurement, data=shift(measurement.data), mask=shift(mask), noise=shift(noise))


def _rolled(data: Tensor, axis: int) -> Tensor:
    """k-space of the image moved back by ``n // 2`` along an axis."""
    size = data.shape[axis]
    k = torch.arange(size, dtype=torch.float64, device=data.device) - size // 2
    phase = 2 * math.pi * k * (size // 2) / size
    wave = torch.polar(torch.ones_like(phase), phase).to(data.dtype)
    return data * (wave[:, None] if axis == -2 else wave)


def _without_gaps(measurement: Measurement) -> Measurement:
    data = measurement.data
    full = (data != 0).flatten(-3).any(dim=-1)
    if bool(full.all()):
        return measurement
    if not bool(full.any()):
        raise DataError("k-space is zero everywhere, expected samples: nothing was measured.")
    empty = [tuple(place) for place in torch.nonzero(~full).tolist()]
    named = ", ".join(str(place[0] if len(place) == 1 else place) for place in empty[:4])
    rest = f" and {len(empty) - 4} more" if len(empty) > 4 else ""
    kept = torch.nonzero(full).flatten() if full.ndim == 1 else None
    if kept is None or len(kept) != int(kept[-1] - kept[0]) + 1:
        raise DataError(
            f"k-space of slices {named}{rest} holds only zeros: leave them out, or export the "
            "scan again."
        )
    first, last = int(kept[0]), int(kept[-1]) + 1
    count = len(full)

    def cut(value: Any, core: int) -> Any:
        if isinstance(value, Tensor) and value.ndim > core and value.shape[0] == count:
            return value[first:last]
        return value

    affine = measurement.affine
    if affine is not None:
        affine = affine.copy()
        affine[:3, 3] += first * affine[:3, 2]
    smaller = replace(
        measurement,
        data=data[first:last],
        mask=cut(measurement.mask, 2),
        maps=cut(measurement.maps, 3),
        noise=cut(measurement.noise, 3),
        reference=cut(measurement.reference, 2),
        affine=affine,
    )
    return _noted(smaller, [f"empty slices {named}{rest} left out"])


def _noted(measurement: Measurement, notes: list[str]) -> Measurement:
    if not notes:
        return measurement
    assumed = [*measurement.provenance.get("assumed", []), *notes]
    return replace(measurement, provenance={**measurement.provenance, "assumed": assumed})
