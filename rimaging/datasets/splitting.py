"""K-space in two: what a reconstruction is given, and samples it is judged by."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError

SHARE = 0.25
"""Of the samples outside the middle, on average, that are held back."""
MIDDLE = 20
"""Edge in samples of the middle of k-space, which is always given: what it holds decides contrast,
and a scan without it is not one that a network has to serve."""


def split(scan: Measurement, generator: torch.Generator) -> tuple[Measurement, Measurement]:
    """Draw a part of a completed scan to give and the rest to hold back; no sample is in both.

    K-space ``(..., coil, y, x)`` keeps its shape, the two masks make up that of the scan; along a
    trajectory ``(..., coil, shot, sample)`` the shots are shared out. Noise and units stay.
    Samples are held back one by one, from a mask of whole lines line by line, along a trajectory
    shot by shot; their share is drawn anew between half and one and a half of `SHARE`.

    Raises DataError for a scan that has nothing outside its middle, or one shot alone.
    Source: Yaman et al., Magn. Reson. Med. 84, 2020, 3172.
    """
    share = SHARE * (0.5 + float(torch.rand((), generator=generator, dtype=torch.float32)))
    if scan.trajectory is not None:
        return _split_shots(scan, share, generator)
    assert scan.mask is not None
    mask = (scan.mask > 0).expand(*scan.mask.shape[:-2], *scan.data.shape[-2:]).cpu()
    held = mask & _drawn(mask, share, generator)
    return _masked(scan, mask & ~held), _masked(scan, held)


def _drawn(mask: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Of the samples outside the middle a share, of lines whole ones; at least one."""
    box = [_middle(size).to(mask) for size in mask.shape[-2:]]
    along, across = mask.any(dim=-1, keepdim=True), mask.any(dim=-2, keepdim=True)
    if not bool((mask == (along & across)).all()):
        outside = mask & ~(box[0][:, None] & box[1])
    # the axis along which less was measured is the one that was undersampled
    elif across.float().mean() <= along.float().mean():
        outside = across & ~box[1]
    else:
        outside = along & ~box[0][:, None]
    if not bool(outside.any()):
        raise _too_few()
    chance = torch.rand(outside.shape, generator=generator, dtype=torch.float32)
    return outside & (chance <= max(share, float(chance[outside].min())))


def _middle(size: int) -> Tensor:
    distance = torch.arange(size) - size // 2
    return (distance >= -MIDDLE // 2) & (distance < MIDDLE // 2)


def _masked(scan: Measurement, mask: Tensor) -> Measurement:
    weight = mask.to(scan.data.device, scan.data.real.dtype)
    return replace(scan, data=scan.data * weight.unsqueeze(-3), mask=weight, reference=None)


def _split_shots(
    scan: Measurement, share: float, generator: torch.Generator
) -> tuple[Measurement, Measurement]:
    shots = scan.data.shape[-2]
    if shots < 2:
        raise _too_few()
    chance = torch.rand(shots, generator=generator, dtype=torch.float32)
    held = chance <= max(share, float(chance.min()))
    held &= chance < chance.max()
    return _shots(scan, ~held), _shots(scan, held)


def _shots(scan: Measurement, chosen: Tensor) -> Measurement:
    """Some of the shots of a trajectory; what area a sample stands for is found anew."""
    assert scan.trajectory is not None
    place = chosen.nonzero()[:, 0].to(scan.data.device)
    noise = scan.noise
    if isinstance(noise, Tensor) and noise.ndim > 1 and noise.shape[-2] == len(chosen):
        noise = noise.index_select(-2, place)
    return replace(
        scan,
        data=scan.data.index_select(-2, place),
        trajectory=scan.trajectory.index_select(-3, place),
        density=None,
        noise=noise,
        reference=None,
    )


def _too_few() -> DataError:
    return DataError("k-space has no samples but its middle to hold back: leave out adapt")
