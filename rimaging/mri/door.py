"""Images from k-space, Cartesian or along a trajectory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.coil_maps import check_heard, with_maps
from rimaging.datasets.frames import with_common_maps
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.retrospective import sampling
from rimaging.datasets.sources import Array, Source, as_measurement
from rimaging.datasets.volume import from_slices, maps_as_slices, to_slices
from rimaging.errors import OptionError
from rimaging.method import Method, Weights, choose_device, load_rim, rim_method
from rimaging.mri.adaptation import adapted
from rimaging.mri.measured import with_measured
from rimaging.mri.methods import MethodName, check_options, classical
from rimaging.operators.likelihood import Likelihood
from rimaging.reconstruct import run
from rimaging.reconstruction import Reconstruction, centre_crop, like
from rimaging.uncertainty import ErrorMap, Finish, LearnedError


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
    ensemble: bool = False,
    adapt: int | None = None,
    add_residual: bool = False,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
    error_map: ErrorMap | None = None,
    on_iteration: Callable[[int], None] | None = None,
) -> Reconstruction:
    """Reconstruct images ``x`` from undersampled k-space ``y = M F S x + n``.

    Args:
        kspace: complex ``(..., coil, y, x)``, slices in front, zero frequency in the middle; NumPy,
            torch, a path, or a `Measurement`. Zeros at the edges (partial Fourier, padding) count
            as not measured.
        mask: 1 where measured, ``(x,)`` or ``(..., y, x)``; by default where k-space is not zero.
        maps: coil sensitivities ``(..., coil, y, x)``, with ``sets=2`` ``(..., 2, coil, y, x)``, of
            any size: the image is in their units. By default ESPIRiT estimates them from the middle
            of k-space, with ``sum_c |S_c|^2 = 1``.
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
        frames: k-space is ``(..., frame, coil, y, x)`` of a moving object, or ``(..., frame, coil,
            shot, sample)``, and all frames share the maps of their average over time.
        crop: cut to the size that the file's header states (readout oversampling).
        steps: of the RIM; as in training by default.
        lamda, iterations: of the classical methods.
        ensemble: of the RIM, the mean over the eight flips and turns of the image, eight times
            slower.
        adapt: fit the RIM to this very scan first, by so many iterations, 60 for example, of some
            seconds each on a CPU: a part of the samples is left out and predicted
            (`rimaging.mri.adapt`, which keeps what it learned for other scans).
        add_residual: keep every sample that was measured: what the estimate leaves unexplained goes
            back into the coil images, with its noise (`rimaging.mri.measured`).
        device: by default the GPU if there is one.
        keep_steps: keep the estimate after each step.
        error_map: ``uncertainty``: ``"learned"`` as the weights of the RIM tell it, at no cost; or
            by so many repetitions on redrawn k-space, 8 for example, each as long as the
            reconstruction (`rimaging.uncertainty`). By default none.
        on_iteration: called after each iteration of ``adapt`` with its number.

    Returns:
        A `Reconstruction` whose ``image`` is complex64 ``(..., y, x)``.

    Raises:
        ShapeError: mask, maps or noise that do not fit k-space.
        DataError: NaN, noise that is not above zero, samples outside the mask, no calibration
            region where there are no maps. OptionError: an unknown method, or options that do not
            go together. WeightsError: see `rimaging.rim.weights.load_weights`.
    """
    check_options(method, sets, steps, lamda, iterations, ensemble, adapt)
    place = choose_device(device)
    if error_map == "learned":
        check_learned(method, weights, place, add_residual)
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
    check_heard(measurement)
    size = measurement.provenance.get("recon_size") if crop else None

    if method != "rim":
        chosen = classical(method, lamda, iterations, count > 1)
    elif adapt is None:
        chosen = rim_method(weights, steps, place, ensemble)
    else:
        rim, origin = load_rim(weights, place)
        rim = adapted([(measurement, count)], rim, adapt, place, on_iteration)
        chosen = rim_method(rim, steps, place, ensemble)
        chosen = noted(chosen, {"weights": origin, "adapted": adapt})
    result = run(
        measurement,
        noted(chosen, {"add_residual": True}) if add_residual else chosen,
        sets=count > 1,
        finish=finisher(count, size, add_residual),
        learned_error=learned_error(count, size),
        device=place,
        keep_steps=keep_steps,
        error_map=error_map,
    )
    if axis is not None:
        error = result.uncertainty
        result = replace(
            result,
            image=from_slices(to_tensor(result.image), axis),
            residual=from_slices(to_tensor(result.residual), axis, transform=True),
            steps=[from_slices(to_tensor(step), axis) for step in result.steps],
            uncertainty=None if error is None else from_slices(to_tensor(error), axis),
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
    if noise is not None and to_tensor(noise, "noise").numel() > 1:
        raise OptionError("the noise of a volume is one number: whiten its coils for more")
    slices, plane, axis = to_slices(
        to_tensor(kspace, "k-space"), None if mask is None else to_tensor(mask, "mask")
    )
    given = None if maps is None else maps_as_slices(to_tensor(maps, "maps"), axis)
    return slices, plane, given, axis


def noted(method: Method, notes: dict[str, Any]) -> Method:
    """The method, with notes on what else is done."""
    return replace(method, provenance={**method.provenance, **notes})


def finisher(sets: int, size: Sequence[int] | None, add_residual: bool) -> Finish:
    """What makes an image of an estimate: its sets combined, and cropped to ``size``."""

    def finish(x: Tensor, likelihood: Likelihood) -> Tensor:
        plain = combine(x) if sets > 1 else x
        image = with_measured(x, likelihood) if add_residual else plain
        return image if size is None else centre_crop(image, size)

    return finish


def learned_error(sets: int, size: Sequence[int] | None) -> LearnedError:
    """What makes the error of an image of that of its estimate.

    Of sets that were combined ``e^2 = sum_k |x_k|^2 e_k^2 / sum_k |x_k|^2``, to first order.
    """

    def learned(x: Tensor, tell: Callable[[bool], Tensor]) -> Tensor:
        error = tell(False)
        if sets > 1:
            power = x.abs().square() + torch.finfo(error.dtype).tiny
            error = ((power * error.square()).sum(dim=-3) / power.sum(dim=-3)).sqrt()
        return error if size is None else centre_crop(error, size)

    return learned


def check_learned(method: str, weights: Weights, place: torch.device, kept: bool) -> None:
    """Refuse what nobody learned, before minutes go into it."""
    if kept:
        raise OptionError(
            "the error of an image that keeps its samples is not learned: leave out "
            "add_residual, or give a number of repetitions, error_map=8 (--error-map 8)"
        )
    if method != "rim":
        raise OptionError(
            f"{method} tells no error of its own: give a number of repetitions, error_map=8 "
            "(--error-map 8)"
        )
    load_rim(weights, place)[0].checked_error_head()


def combine(x: Tensor) -> Tensor:
    """Sets ``(..., set, y, x)`` to one image: root sum of squares, with the first set's phase."""
    magnitude = x.abs().square().sum(dim=-3).sqrt()
    return torch.polar(magnitude, x.select(-3, 0).angle())
