"""Frames of a moving object: one set of coil maps for all, from their average over time.

Each frame alone may lack a calibration region; together they measure more of k-space, and coils
do not move with the heart.

Source: Kellman, Epstein and McVeigh, Magn. Reson. Med. 45 (2001) 846 (TSENSE).
"""

from __future__ import annotations

from dataclasses import replace

from rimaging.datasets.coil_maps import with_maps
from rimaging.datasets.lead_axes import frame_place, with_frames
from rimaging.datasets.measurement import Measurement
from rimaging.errors import ShapeError

__all__ = ["time_average", "with_common_maps"]


def time_average(measurement: Measurement) -> Measurement:
    """The mean over frames ``(..., frame, coil, y, x)`` of what each sample was measured.

        y(k) = sum_t m_t(k) y_t(k) / sum_t m_t(k),   m(k) = 1 where any frame measured k

    Along a trajectory the shots of all frames together, ``(..., coil, frame shot, sample)``. Where
    a reader has named the axes, frames may be another one than the last (`with_frames`).

    Raises ShapeError where there is no axis of frames.
    """
    if measurement.data.ndim < 4:
        raise ShapeError(
            f"k-space {tuple(measurement.data.shape)} has no frames, expected (..., frame, coil, "
            "y, x), along a trajectory (..., frame, coil, shot, sample): leave out frames=True, or "
            "add the axis"
        )
    whole = with_frames(measurement).completed()
    time = frame_place(whole.provenance["axes"])
    if whole.trajectory is not None:
        return _together(whole, time)
    assert whole.mask is not None
    mask = whole.mask.expand(*whole.data.shape[:-3], *whole.data.shape[-2:])
    count = mask.sum(dim=time)
    data = (whole.data * mask.unsqueeze(-3)).sum(dim=time) / count.clamp_min(1).unsqueeze(-3)
    return replace(
        whole, data=data, mask=(count > 0).to(mask.dtype), noise=1.0, maps=None, reference=None
    )


def _together(whole: Measurement, time: int) -> Measurement:
    """The shots of all frames, axis ``time`` in front, as those of one."""
    data, k = whole.data, whole.trajectory
    assert k is not None
    lead = data.shape[:-3]
    own = k.expand(*lead, *k.shape[-3:]).movedim(time, len(lead) - 1)
    return replace(
        whole,
        data=data.movedim(time, -3).flatten(-3, -2),
        trajectory=own.flatten(-4, -3),
        density=None,  # areas of one frame, not of all
        noise=1.0,
        maps=None,
        reference=None,
    )


def with_common_maps(
    measurement: Measurement, *, sets: int | None = None, calibration: int = 24
) -> tuple[Measurement, int]:
    """As `with_maps`, but all frames ``(..., frame, coil, y, x)`` share the maps of their average.

    Raises as `with_maps` and `time_average`.
    """
    measurement = with_frames(measurement)
    if measurement.maps is not None:
        return with_maps(measurement, sets=sets, calibration=calibration)
    averaged, count = with_maps(time_average(measurement), sets=sets, calibration=calibration)
    maps = averaged.maps
    assert maps is not None
    time = frame_place(measurement.provenance["axes"])
    if measurement.data.ndim > 4:
        maps = maps.unsqueeze(time)
    *_, note = averaged.provenance["assumed"]
    frames = measurement.data.shape[time]
    assumed = [*measurement.provenance.get("assumed", []), f"{note}, {frames} frames averaged"]
    provenance = {**measurement.provenance, "assumed": assumed}
    return replace(measurement, maps=maps, provenance=provenance), count
