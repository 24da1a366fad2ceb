"""MRI: from k-space, Cartesian or along a trajectory, to images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.coil_maps import with_maps
from rimaging.datasets.frames import with_common_maps
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.retrospective import sampling, undersample
from rimaging.datasets.sources import Array, Source, as_measurement
from rimaging.datasets.volume import from_slices, maps_as_slices, to_slices
from rimaging.errors import OptionError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.likelihood import Gaussian
from rimaging.operators.noncartesian import NonCartesianMRI
from rimaging.reconstruct import Method, Weights, choose_device, rim_method, run
from rimaging.reconstruction import Reconstruction, centre_crop, like

__all__ = ["MethodName", "classical", "combine", "reconstruct", "undersample"]

MethodName = Literal["rim", "zero-filled", "cg-sense", "l1-wavelet", "tv", "grappa", "pocs"]

LAMDA = {"cg-sense": 0.01, "l1-wavelet": 0.005, "tv": 0.005, "grappa": 0.03}
"""Default penalties of the classical methods, relative to the image as each of them defines it."""

ITERATIONS = {"cg-sense": 30, "l1-wavelet": 100, "tv": 100, "pocs": 3}


def reconstruct(
    kspace: Source,
    mask: Array | None = None,
    maps: Array | None = None,
    noise: float | Array | None = None,
    weights: Weights = "mri",
    *,
    trajectory: Array | None = None,
    density: Array | None = None,
    image_shape: Sequence[int] | None = None,
    method: MethodName = "rim",
    sets: int | None = None,
    calibration: int = 24,
    volume: bool = False,
    frames: bool = False,
    crop: bool = True,
    steps: int | None = None,
    lamda: float | None = None,
    iterations: int | None = None,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
) -> Reconstruction:
    """Reconstruct images ``x`` from undersampled k-space ``y = M F S x + n``.

    Args:
        kspace: complex ``(..., coil, y, x)``, slices in front, zero frequency in the middle; NumPy,
            torch, a path, or a `Measurement`. Zeros at the edges (partial Fourier, padding) count
            as not measured.
        mask: 1 where measured, ``(x,)`` or ``(..., y, x)``; by default where k-space is not zero.
        maps: coil sensitivities ``(..., coil, y, x)``, with ``sets=2`` ``(..., 2, coil, y, x)``; by
            default ESPIRiT estimates them from the middle of k-space.
        noise: standard deviation of one real component of k-space, one number or broadcastable to
            it; by default estimated from the calibration region and the outer samples.
        weights: name, path or `RIM`; for ``method="rim"``.
        trajectory: of non-Cartesian k-space ``(..., coil, shot, sample)``, or ``(..., coil,
            sample)``: ``(..., [shot,] sample, 2)`` in the order ``(ky, kx)``, or 3 ``(kz, ky,
            kx)``, in cycles per field of view, or per pixel (within 0.5).
        density: area of k-space of each sample on any scale, ``(..., [shot,] sample)``; by default
            that of Pipe and Menon.
        image_shape: ``(y, x)`` or ``(z, y, x)`` of the image of a trajectory; by default as large
            as the trajectory resolves.
        method: ``"rim"``; or, to compare with, ``"zero-filled"`` (``A* y``), ``"cg-sense"``,
            ``"l1-wavelet"``, ``"tv"``, ``"grappa"``, or ``"pocs"`` for partial Fourier.
        sets: 1, or 2 for soft SENSE, where the object is larger than the field of view; by default
            as the data have it. With two sets the image has the root sum of squares of both as
            magnitude, the phase of the first.
        calibration: largest side of the ESPIRiT calibration region.
        volume: k-space is an array ``(coil, z, y, x)``, encoded in three dimensions; maps likewise,
            the mask what broadcasts to ``(z, y, x)``. An axis that was sampled fully is found and
            transformed, the slices across it are reconstructed; the image is ``(z, y, x)``.
        frames: k-space is ``(..., frame, coil, y, x)`` of a moving object, and all frames share the
            maps of their average over time.
        crop: cut to the size that the file's header states (readout oversampling).
        steps: of the RIM; as in training by default.
        lamda, iterations: of the classical methods.
        device: by default the GPU if there is one.
        keep_steps: keep the estimate after each step.

    Returns:
        A `Reconstruction` whose ``image`` is complex64 ``(..., y, x)``.

    Raises:
        ShapeError: mask, maps or noise that do not fit k-space.
        DataError: NaN, noise that is not above zero, samples outside the mask, no calibration
            region where there are no maps. OptionError: an unknown method, or options that do not
            go together. WeightsError: see `rimaging.rim.weights.load_weights`.
    """
    _check_options(method, sets, steps, lamda, iterations)
    place = choose_device(device)
    axis = None
    source = kspace
    if volume:
        source, mask, maps, axis = _as_slices(kspace, mask, maps, noise, trajectory, frames)
    measurement = as_measurement(
        source,
        "kspace",
        noise=noise,
        mask=mask,
        maps=maps,
        trajectory=trajectory,
        density=density,
        matrix=image_shape,
    )
    estimate = with_common_maps if frames else with_maps
    measurement = sampling(measurement.completed())
    measurement, count = estimate(measurement, sets=sets, calibration=calibration)
    size = measurement.provenance.get("recon_size") if crop else None

    def finish(x: Tensor) -> Tensor:
        image = combine(x) if count > 1 else x
        return image if size is None else centre_crop(image, size)

    result = run(
        measurement,
        rim_method(weights, steps, place)
        if method == "rim"
        else classical(method, lamda, iterations, count > 1),
        sets=count > 1,
        finish=finish,
        device=place,
        keep_steps=keep_steps,
    )
    if axis is not None:
        result = replace(
            result,
            image=from_slices(to_tensor(result.image), axis),
            residual=from_slices(to_tensor(result.residual), axis, transform=True),
            steps=[from_slices(to_tensor(step), axis) for step in result.steps],
        )
    return like(result, kspace)


def _as_slices(
    kspace: Source,
    mask: Array | None,
    maps: Array | None,
    noise: float | Array | None,
    trajectory: Array | None,
    frames: bool,
) -> tuple[Tensor, Tensor, Tensor | None, int]:
    """Arrays of a volume as those of slices: k-space, mask, maps, and the axis of the slices."""
    if isinstance(kspace, str | Path | Measurement) or trajectory is not None or frames:
        raise OptionError(
            "volume=True is for Cartesian arrays (coil, z, y, x): leave it out for files, "
            "measurements, trajectories and frames"
        )
    if noise is not None and not isinstance(noise, float | int):
        raise OptionError("the noise of a volume is one number: whiten its coils for more")
    slices, plane, axis = to_slices(
        to_tensor(kspace, "k-space"), None if mask is None else to_tensor(mask, "mask")
    )
    given = None if maps is None else maps_as_slices(to_tensor(maps, "maps"), axis)
    return slices, plane, given, axis


def combine(x: Tensor) -> Tensor:
    """Sets ``(..., set, y, x)`` to one image: root sum of squares, with the first set's phase."""
    magnitude = x.abs().square().sum(dim=-3).sqrt()
    return torch.polar(magnitude, x.select(-3, 0).angle())


def classical(name: MethodName, lamda: float | None, iterations: int | None, sets: bool) -> Method:
    """A method to compare with, as a `Method`."""
    from rimaging.solvers.cg_sense import cg_sense
    from rimaging.solvers.grappa import grappa
    from rimaging.solvers.l1_wavelet import l1_wavelet
    from rimaging.solvers.pocs import pocs
    from rimaging.solvers.total_variation import total_variation
    from rimaging.solvers.zero_filled import zero_filled

    if name == "zero-filled":
        return Method(name=name, solve=_solved_by(name, partial(zero_filled, sets=sets)))
    weight = LAMDA.get(name, 0.0) if lamda is None else lamda
    count = ITERATIONS.get(name, 1) if iterations is None else iterations
    settings = {
        **({"lamda": weight} if name in LAMDA else {}),
        **({"iterations": count} if name in ITERATIONS else {}),
    }
    solver: Callable[[Tensor, Tensor, Tensor], Tensor]
    if name == "grappa":
        solver = partial(grappa, damping=weight, sets=sets)
    elif name == "pocs":
        solver = partial(pocs, iterations=count, sets=sets)
    elif name == "cg-sense":
        solver = partial(cg_sense, damping=weight, iterations=count, sets=sets)
    elif name == "l1-wavelet":
        solver = partial(l1_wavelet, lamda=weight, iterations=count, sets=sets)
    else:
        solver = partial(total_variation, lamda=weight, iterations=count, sets=sets)
    solve = _solved_by(name, solver, weight, count)
    return Method(name=name, solve=solve, provenance={"settings": settings})


def _solved_by(
    name: MethodName,
    solver: Callable[[Tensor, Tensor, Tensor], Tensor],
    lamda: float = 0.0,
    iterations: int = 1,
) -> Callable[[Measurement | None, Gaussian], list[Tensor]]:
    """A function of k-space, mask and maps as one of a likelihood, or the same of a trajectory."""
    from rimaging.solvers.noncartesian import NonCartesianMethod, solve_noncartesian

    def solve(part: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        operator = likelihood.operator
        if isinstance(operator, NonCartesianMRI):
            density = None if part is None else part.density
            known = cast(NonCartesianMethod, name)  # it refuses those of masks alone
            return [
                solve_noncartesian(
                    known, likelihood, lamda=lamda, iterations=iterations, density=density
                )
            ]
        assert isinstance(operator, CartesianMRI)
        return [solver(likelihood.y, operator.mask.squeeze(-3), operator.maps)]

    return solve


def _check_options(
    method: str, sets: int | None, steps: int | None, lamda: float | None, iterations: int | None
) -> None:
    if method not in get_args(MethodName):
        raise OptionError(
            f"method {method!r} does not exist: choose {', '.join(get_args(MethodName))}"
        )
    if sets not in (None, 1, 2):
        raise OptionError(f"sets is {sets}: use 1, or 2 for soft SENSE")
    if method == "rim" and (lamda is not None or iterations is not None):
        raise OptionError("lamda and iterations are for the classical methods: a RIM has steps")
    if method != "rim" and steps is not None:
        raise OptionError(f"steps are those of a RIM: {method} takes iterations")
    if method == "grappa" and iterations is not None:
        raise OptionError("grappa does not iterate: it takes lamda alone")
    if method == "pocs" and lamda is not None:
        raise OptionError("pocs has no penalty: it takes iterations alone")
