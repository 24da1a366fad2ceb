"""Gates of the residual: its size on every tile, its whiteness, ringing, and light left behind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rimaging.reports.diagnostics import diagnose
from rimaging.validate.gate import Gate, judged
from rimaging.validate.photometry import apertures, median, windows
from rimaging.validate.stars import BRIGHT, Response

LOW, HIGH = 0.95, 1.05
TILES = 0.95
"""Share of the tiles that must be inside the range, widened by three standard errors."""

RINGING = 0.01
TILE = 64
LIGHT = 0.01


def tile_chi2(residual: Tensor, mask: Tensor | None, tile: int = TILE) -> tuple[Tensor, Tensor]:
    """``chi2 / N`` and ``N`` of each whole tile ``(rows, columns)``; at least 2 x 2 tiles."""
    tile = min(tile, *(n // 2 for n in residual.shape))
    weight = torch.ones_like(residual) if mask is None else mask.expand(residual.shape)
    power = torch.where(weight > 0, residual, 0).square()
    sums = []
    for plane in (power, weight.to(power)):
        pooled = torch.nn.functional.avg_pool2d(plane[None, None].double(), tile)[0, 0]
        sums.append(pooled * tile**2)
    return sums[0] / sums[1].clamp_min(1), sums[1]


def residual_tiles(
    residual: Tensor, mask: Tensor | None, bright: Sequence[Response], unit: float, target: float
) -> Gate:
    """Gate 4: the residual of the image as it is; ringing beside injected stars."""
    found = diagnose(residual, mask)
    chi2, count = tile_chi2(residual, mask)
    chi2, count = chi2[count > 0], count[count > 0]
    margin = 3 * (2 / count).sqrt()
    inside = float(((chi2 > LOW - margin) & (chi2 < HIGH + margin)).double().mean())
    spread = 3 * math.sqrt(2 / max(found.samples, 1))
    ring = ringing(bright, unit, target)
    fits = LOW - spread < found.chi2 < HIGH + spread and inside >= TILES
    worst = float(chi2[(chi2 - 1).abs().argmax()])
    doubt = "; the noise looks understated: give it (--noise)" if found.chi2 > 2 else ""
    neighbours = max(found.correlation, key=abs, default=0.0)
    return Gate(
        number=4,
        name="residual on tiles",
        outcome=judged(fits and found.white and ring < RINGING),
        finding=(
            f"chi2/N {found.chi2:.3f}, {inside:.0%} of {len(chi2)} tiles fit (worst {worst:.3f}), "
            f"{'white' if found.white else 'not white'} (neighbours {neighbours:+.3f}), "
            f"ringing {ring:.2%} of the peak{doubt}"
        ),
        asked=(
            f"chi2/N {LOW} to {HIGH} on {TILES:.0%} of the tiles (3 standard errors granted), "
            f"white, ringing below {RINGING:.0%}"
        ),
        numbers={
            "chi2": found.chi2,
            "tiles": inside,
            "worst tile": worst,
            "correlation": neighbours,
            "flatness": found.flatness,
            "ringing": ring,
        },
    )


def ringing(bright: Sequence[Response], unit: float, target: float) -> float:
    """Largest mean of ``found - truth`` on rings around bright stars, over their peak.

    The rings are a pixel wide, from 1.5 to 4 FWHM of the target.
    """
    half = math.ceil(4 * target)
    span = torch.arange(-half, half + 1).float()
    radius = torch.hypot(span[:, None], span[None, :])
    rings = torch.arange(1.5 * target, 4 * target)
    errors = []
    for response in bright:
        stars = response.catalogue
        stars = stars[stars.flux >= BRIGHT * unit]
        if not len(stars):
            continue
        error = windows(response.found - response.truth, stars.x, stars.y, half)
        peak = windows(response.truth, stars.x, stars.y, 1).amax(dim=(-2, -1))
        errors.append(error / peak[:, None, None])
    if not errors:
        return math.nan
    profile = torch.cat(errors).quantile(0.5, dim=0)
    means = [float(profile[(radius >= r) & (radius < r + 1)].mean()) for r in rings.tolist()]
    return max(map(abs, means))


def reconvolved(
    lost: Tensor,
    above: Tensor,
    sigma: float,
    injected: Sequence[tuple[Tensor, Tensor, Response]],
    unit: float,
    radius: float,
) -> Gate:
    """Gate 11: ``y - K x``: light that the output does not give back.

    lost: ``y - K x`` of the image as it is, 0 where masked; above: ``y`` minus the sky; injected:
    for bright stars the change of ``y - K x``, and of ``y``, with the response.
    """
    light = float(above.double().sum())
    floor = 5 * sigma * math.sqrt(above.numel())
    share = float(lost.double().sum()) / max(abs(light), floor)
    beyond = float((lost.abs() > 5 * sigma).double().mean())
    missing = []
    for left, seen, response in injected:
        stars = response.catalogue
        stars = stars[stars.flux >= BRIGHT * unit]
        missing.append(
            apertures(left, stars.x, stars.y, radius) / apertures(seen, stars.x, stars.y, radius)
        )
    at_stars = median(torch.cat(missing)) if missing else math.nan
    return Gate(
        number=11,
        name="reconvolved output minus input",
        outcome=judged(abs(share) < LIGHT and abs(at_stars) < LIGHT),
        finding=(
            f"{share:+.3%} of the light of the image is left over, {at_stars:+.3%} of that of "
            f"injected stars; {beyond:.2%} of the pixels differ by over 5 sigma"
        ),
        asked=f"below {LIGHT:.0%} of the light, in the image and at the stars",
        numbers={"image": share, "stars": at_stars, "beyond 5 sigma": beyond},
    )
