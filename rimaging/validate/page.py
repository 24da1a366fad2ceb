"""The page of a validation: the gates in words, and plots of what they saw."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rimaging.reports.diagnostics import Verdict
from rimaging.reports.figures import Panel, points, residual_plot, tile_map
from rimaging.reports.html import Comparison, Picture, report, save_report
from rimaging.validate.gate import Gate
from rimaging.validate.photometry import moments, windows
from rimaging.validate.residual import tile_chi2
from rimaging.validate.stars import BRIGHT, CENTROID, FLUX, Response, ratios

if TYPE_CHECKING:
    from rimaging.validate.run import Trial, Validation

MISSED = 0.2
"""Flux ratios are shown to so far from 1."""


def write(path: str | Path, validation: Validation) -> Path:
    """Write the page under its final name when it is whole."""
    trial = validation.trial
    failed = sum(gate.outcome == "fail" for gate in validation.gates)
    verdict = "Every gate passed" if not failed else f"{failed} of the gates failed"
    page = report(
        "Can it be trusted on this image?",
        summary=(
            f"{verdict}. Stars and galaxies were added to the image, and sought in what "
            "the method made of it."
        ),
        comparison=Comparison(
            before=trial.field.measurement.data,
            after=trial.base.image,
            kind="sky",
            labels=("observed", "reconstructed"),
        ),
        facts={k: v for k, v in validation.facts.items() if k != "assumed"},
        gates=[_verdict(gate) for gate in validation.gates],
        pictures=_pictures(trial),
        provenance=validation.facts,
    )
    return save_report(path, page)


def _verdict(gate: Gate) -> Verdict:
    level = {"pass": "good", "fail": "warning", "not given": "note"}[gate.outcome]
    text = f"{gate.number}. {gate.name}: {gate.finding}. Asked: {gate.asked}."
    return Verdict(level, text)  # type: ignore[arg-type] # one of the three


def _pictures(trial: Trial) -> list[Picture]:
    chi2, _ = tile_chi2(trial.base.residual, trial.field.measurement.mask)
    injected = max(trial.stars, key=lambda response: float(response.catalogue.flux.max()))
    return [
        Picture(
            title="Stars",
            image=points([_fluxes(trial), _shifts(trial), _profile(trial)]),
            caption="Injected stars: flux, position, and how they look in the output.",
        ),
        Picture(
            title="Residual",
            image=residual_plot(trial.base.residual, trial.field.measurement.mask),
            caption="Of the image as it is, in units of the noise.",
        ),
        Picture(
            title="Tiles",
            image=tile_map(chi2, "chi2/N of each tile", 0.5),
            caption="Blue fits better than the noise allows, red worse.",
        ),
        Picture(title="Injected, as it should look", image=injected.truth, kind="sky"),
        Picture(title="Injected, as found", image=injected.found, kind="sky"),
    ]


def _fluxes(trial: Trial) -> Panel:
    unit, radius = trial.field.flux_error, trial.field.fwhm

    def series(responses: list[Response], size: float) -> tuple[Tensor, Tensor]:
        snr = torch.cat([response.catalogue.flux for response in responses]) / unit
        ratio = torch.cat([ratios(response, size) for response in responses])
        return snr, ratio.clamp(1 - MISSED, 1 + MISSED)

    return Panel(
        title="flux",
        x="SNR of the star",
        y="found / injected",
        series={
            "isolated": series(trial.stars, radius),
            "crowded": series(trial.crowded, radius / 2),
        },
        asked=(1 - FLUX, 1 + FLUX),
        limits=(1 - 1.05 * MISSED, 1 + 1.05 * MISSED),
        logarithmic=True,
    )


def _shifts(trial: Trial) -> Panel:
    half, fwhm = trial.field.spacing // 2, trial.field.target
    series = {}
    for axis in ("x", "y"):
        phase, shift = [], []
        for response in trial.stars:
            stars = response.catalogue
            stars = stars[stars.flux >= BRIGHT * trial.field.flux_error]
            if not len(stars):
                continue
            found = moments(response.found, stars.x, stars.y, half, fwhm)
            truth = moments(response.truth, stars.x, stars.y, half, fwhm)
            where = getattr(stars, axis)
            phase.append(where - where.round())
            shift.append(getattr(found, axis) - getattr(truth, axis))
        if phase:
            series[axis] = (torch.cat(phase), torch.cat(shift))
    return Panel(
        title="position",
        x="phase in the pixel",
        y="shift in pixels",
        series=series,
        asked=(-CENTROID, CENTROID),
    )


def _profile(trial: Trial) -> Panel:
    """Mean profile of bright stars over radius, in the output and as declared."""
    half = math.ceil(4 * trial.field.target)
    span = torch.arange(-half, half + 1).float()
    series = {}
    for name in ("found", "truth"):
        radii, values = [], []
        for response in trial.stars:
            stars = response.catalogue
            stars = stars[stars.flux >= BRIGHT * trial.field.flux_error]
            if not len(stars):
                continue
            cut = windows(getattr(response, name), stars.x, stars.y, half)
            dy = span[None, :, None] - (stars.y - stars.y.round())[:, None, None]
            dx = span[None, None, :] - (stars.x - stars.x.round())[:, None, None]
            radii.append(torch.hypot(dy, dx).flatten())
            values.append((cut / stars.flux[:, None, None]).flatten())
        if radii:
            radius, value = torch.cat(radii), torch.cat(values)
            bins = torch.arange(0, half, 0.5)
            inside = [(radius >= low) & (radius < low + 0.5) for low in bins.tolist()]
            means = torch.stack(
                [value[i].median() if bool(i.any()) else value.new_tensor(math.nan) for i in inside]
            )
            label = "output" if name == "found" else "declared target"
            series[label] = (bins + 0.25, means)
    return Panel(title="profile", x="radius in pixels", y="per flux", series=series, lines=True)
