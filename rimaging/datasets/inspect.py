"""Say what a file holds and what would be done with it, before anything is done."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from rimaging.datasets.beam_psf import beam_psf
from rimaging.datasets.exposure import with_exposure
from rimaging.datasets.fits_open import open_fits, split_extension
from rimaging.datasets.hdf5_guard import listing
from rimaging.datasets.kinds import COMMANDS
from rimaging.datasets.kspace_facts import kspace_facts, kspace_plan
from rimaging.datasets.mat import load_mat
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.noise_correlation import restored_noise
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.open import open, sniff
from rimaging.datasets.visibilities import holds_visibilities, read_visibilities
from rimaging.errors import DataError, FormatError, ShapeError

__all__ = ["inspect"]


def inspect(path: str | Path) -> dict[str, str]:
    """Describe a file in a few named lines, without anything that names a person.

    Of a file that is no measurement (kernels, tables) the arrays are listed, and `why` says
    what is missing. Raises FormatError for files that cannot be read at all.
    """
    bare, _ = split_extension(path)
    visibilities = holds_visibilities(bare)
    form = visibilities or sniff(bare)
    lines = {"format": form, "size": f"{bare.stat().st_size / 2**20:.2f} MiB"}
    if visibilities:
        return {**lines, **_of_visibilities(bare)}
    try:
        measurement = open(path)
    except (FormatError, DataError, ShapeError) as error:
        lines["holds"] = _listing(bare, form)
        lines["why"] = f"no measurement: {error}"
        return lines
    if form == "fits":
        lines["extensions"] = _listing(bare, form)
    return {**lines, **_described(measurement)}


def _described(measurement: Measurement) -> dict[str, str]:
    data = measurement.data
    lines = {
        "kind": measurement.kind,
        "data": f"{tuple(data.shape)} {str(data.dtype).removeprefix('torch.')}",
        "range": f"{float(data.abs().min()):.4g} to {float(data.abs().max()):.4g}"
        if data.is_complex()
        else f"{float(data.min()):.4g} to {float(data.max()):.4g}",
    }
    if measurement.units:
        lines["units"] = measurement.units
    for name in ("mask", "maps", "trajectory", "density", "psf", "reference"):
        tensor = getattr(measurement, name)
        if tensor is not None:
            lines[name] = str(tuple(tensor.shape))
    if measurement.beams is not None:
        lines["beam"] = measurement.beams.said()
    if measurement.header is not None:
        lines["sky coordinates"] = "yes" if "CTYPE1" in measurement.header else "none"
    if "voxel_mm" in measurement.provenance:
        lines["voxel"] = (
            " x ".join(f"{size:.4g}" for size in measurement.provenance["voxel_mm"]) + " mm"
        )
    if "geometry" in measurement.provenance:
        lines["geometry"] = str(measurement.provenance["geometry"])
    if measurement.kind == "sky":
        measurement = _with_restored_noise(with_exposure(measurement))
    try:
        whole = measurement.completed()
    except DataError as error:
        lines["noise"] = f"unknown: {error}"
        assumed = measurement.provenance.get("assumed", [])
    else:
        noise = whole.noise
        lines["noise"] = _noise(noise)
        assumed = whole.provenance.get("assumed", [])
        measurement = whole if measurement.kind == "kspace" else measurement
    if measurement.kind == "kspace":
        lines |= kspace_facts(measurement)
    if assumed:
        lines["assumed"] = "; ".join(assumed)
    lines["would"] = _plan(measurement)
    return lines


def _of_visibilities(path: Path) -> dict[str, str]:
    try:
        found = read_visibilities(path)
    except (FormatError, DataError) as error:
        return {"why": f"no measurement: {error}"}
    length = torch.hypot(found.u, found.v)
    lines = {
        "kind": "visibilities",
        "data": f"{len(found.u)} of Stokes I, each channel counted",
        "baselines": f"{float(length.min()):.4g} to {float(length.max()):.4g} wavelengths",
        "noise": f"{float(found.sigma.median()):.4g} Jy (median)",
    }
    if math.isfinite(found.frequency):
        lines["frequency"] = f"{found.frequency / 1e9:.6g} GHz"
    if found.position is not None:
        lines["phase centre"] = "{:.6f}, {:.6f} deg".format(*found.position)
    return {**lines, "would": "rimaging radio: image them, deconvolve and restore"}


def _with_restored_noise(measurement: Measurement) -> Measurement:
    """With the noise that deconvolution takes where the beam of the header is the PSF."""
    header, beams = measurement.header, measurement.beams
    if measurement.noise is not None or measurement.psf is not None or not (header and beams):
        return measurement
    try:
        beam = beam_psf(beams, header, tuple(measurement.data.shape))
    except DataError as error:
        return _noted(measurement, f"no PSF of the beam: {error}")
    sigma = restored_noise(measurement.data, measurement.mask, beam)
    if sigma is None:
        return measurement
    note = "the noise of quiet parts, that correlates as the beam does"
    return replace(_noted(measurement, note), noise=sigma)


def _noted(measurement: Measurement, note: str) -> Measurement:
    assumed = [*measurement.provenance.get("assumed", []), note]
    return replace(measurement, provenance={**measurement.provenance, "assumed": assumed})


def _noise(noise: Tensor | float | None) -> str:
    values = torch.as_tensor(noise).flatten()
    if values.numel() > 8:
        return f"per value, {float(values.min()):.4g} to {float(values.max()):.4g}"
    return ", ".join(f"{float(value):.4g}" for value in values)


def _plan(measurement: Measurement) -> str:
    door = COMMANDS[measurement.kind]
    if measurement.kind == "kspace":
        return f"{door}: {kspace_plan(measurement)}"
    if measurement.kind == "sky":
        if measurement.psf is None and measurement.beams is not None:
            return f"{door}: deconvolve, its beam as the PSF (--psf gives another)"
        if measurement.psf is None:
            return f"{door}: give a PSF (--psf FILE, or --psf stars); without one, rimaging denoise"
        return f"{door}: deconvolve"
    return f"{door}: remove noise"


def _listing(path: Path, form: str) -> str:
    if form in ("npz", "mat"):
        arrays = load_arrays(path) if form == "npz" else load_mat(path)
        return ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in arrays.items())
    if form in ("hdf5", "ismrmrd"):
        return listing(path)
    if form == "fits":
        with open_fits(path) as file:
            parts = [
                f"[{i}] {hdu.name or 'unnamed'} {hdu.shape if hdu.is_image else 'table'}"
                for i, hdu in enumerate(file.hdus)
            ]
        rest = f", and {len(parts) - 6} more" if len(parts) > 6 else ""
        return ", ".join(parts[:6]) + rest
    return "nothing that is read"
