"""What `inspect` says of k-space: grid, coils, sampling, noise, and what recon would do with it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.survey import Sampling, survey

__all__ = ["kspace_facts", "kspace_plan"]

KERNEL = 6
"""Least width of a calibration region that coil maps can be estimated from."""


def kspace_facts(measurement: Measurement) -> dict[str, str]:
    """Named lines: matrix, field of view, coils, images, trajectory, sampling, calibration, noise.

    ``measurement`` as `Measurement.completed` gives it, or with a mask of its own; without one the
    sampling is read from the zeros of k-space.
    """
    facts = measurement.provenance
    size = measurement.image_shape[-2:]
    lines = {"matrix": " x ".join(map(str, measurement.matrix or size)) + _encoded(facts)}
    if "fov_mm" in facts:
        lines["field of view"] = _product(facts["fov_mm"]) + " mm, as encoded"
    lines["coils"] = str(measurement.data.shape[-3])
    lines["images"] = _images(measurement)
    if measurement.trajectory is not None:
        shots, samples = measurement.data.shape[-2:]
        name = str(facts.get("trajectory", "along a trajectory"))
        lines["trajectory"] = f"{name}, {shots} shots of {samples} samples"
        return lines | _scans(measurement)
    lines["trajectory"] = str(facts.get("trajectory", "cartesian"))
    found = sampling_of(measurement)
    lines["sampling"] = str(found)
    lines["acceleration"] = f"{found.acceleration:.3g}" if found.acceleration else "none found"
    if found.overall > found.acceleration:
        lines["acceleration"] += f", {found.overall:.3g} with partial Fourier"
    if "acceleration" in facts:
        stated = facts["acceleration"]
        numbers = stated if isinstance(stated, list) else [stated]
        lines["acceleration"] += f" ({_product(numbers)} stated)"
    lines["calibration"] = " x ".join(map(str, found.calibration)) + " samples in the middle"
    if "num_low_frequency" in facts:
        lines["calibration"] += f" ({facts['num_low_frequency']:.0f} columns stated)"
    return lines | _scans(measurement)


def kspace_plan(measurement: Measurement) -> str:
    """What recon would do: coil maps, reconstruction, crop."""
    steps = []
    coils = measurement.data.shape[-3]
    if coils > 1 and measurement.maps is not None:
        steps.append("use the coil maps that came with it")
    elif coils > 1 and measurement.trajectory is not None:
        steps.append("estimate coil maps from the middle of k-space")
    elif coils > 1:
        height, width = sampling_of(measurement).calibration
        if min(height, width) < KERNEL:
            return (
                f"needs --maps: the fully sampled middle of k-space has {height} x {width} samples,"
                f" coil maps need {KERNEL} x {KERNEL}"
            )
        steps.append("estimate coil maps (ESPIRiT)")
    count = math.prod(measurement.data.shape[:-3])
    what = "the image" if count == 1 else f"{count} images"
    note = "" if measurement.trajectory is not None else _left_to_do(sampling_of(measurement))
    steps.append(f"reconstruct {what}{note}")
    if "recon_size" in measurement.provenance:
        rows, columns = measurement.provenance["recon_size"]
        steps.append(f"crop to {rows} x {columns}")
    return ", ".join(steps)


def _left_to_do(sampling: Sampling) -> str:
    if sampling.full:
        return " (fully sampled: only noise to remove)"
    one_sided = any(sampling.partial)
    return " (partial Fourier: a side of k-space to fill in)" if one_sided else ""


def sampling_of(measurement: Measurement) -> Sampling:
    """The sampling of the mask, or of what is not zero in every coil."""
    mask = measurement.mask
    if mask is None:
        mask = (measurement.data != 0).any(dim=-3).to(torch.float32)
    return survey(mask)


def _encoded(facts: dict[str, object]) -> str:
    matrix = facts.get("matrix")
    return f" (encoded: {_product(matrix)})" if isinstance(matrix, list) else ""


def _images(measurement: Measurement) -> str:
    lead = measurement.data.shape[:-3]
    names = measurement.provenance.get("axes", [])
    if len(names) != len(lead):
        names = ["slice"] if len(lead) == 1 else ["item"] * len(lead)
    parts = [f"{n} {name}{'s' if n > 1 else ''}" for n, name in zip(lead, names, strict=True)]
    split = measurement.provenance.get("split")
    return (" x ".join(parts) or "1 slice") + (f" ({split})" if split else "")


def _scans(measurement: Measurement) -> dict[str, str]:
    facts = measurement.provenance
    lines = {}
    if "noise_scans" in facts:
        count = facts["noise_scans"]
        lines["noise scans"] = f"{count} readouts" if count else "none"
    if facts.get("calibration_lines"):
        lines["calibration lines"] = str(facts["calibration_lines"])
    return lines


def _product(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
