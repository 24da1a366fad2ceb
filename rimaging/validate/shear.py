"""Gate 5: what the method does to a gravitational shear."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rimaging.validate.gate import Gate, judged
from rimaging.validate.photometry import moments
from rimaging.validate.stars import Response

MULTIPLICATIVE, ADDITIVE = 0.02, 0.002
SHEAR = 0.02


def shear_bias(pairs: Sequence[tuple[Response, Response]], half: int, fwhm: float) -> Gate:
    """Biases of ``g_out = (1 + m) g_in + c`` from galaxies sheared by ``+g`` and by ``-g``.

    The same galaxies in both, in pairs turned by 90 degrees, so that their own shapes cancel;
    ``g_in`` is what the same moments measure on the truth seen by the target. Errors are those of
    the mean over the galaxies.

    Source: Heymans et al., MNRAS 368, 1323 (2006); Massey et al., MNRAS 376, 13 (2007).
    """
    found_plus, true_plus, found_minus, true_minus = (
        torch.cat([_shapes(pair[sign], truth, half, fwhm) for pair in pairs])
        for sign in (0, 1)
        for truth in (False, True)
    )
    good = torch.isfinite(torch.cat((found_plus, true_plus, found_minus, true_minus), dim=1))
    kept = good.all(dim=1)
    count = int(kept.sum())
    numbers = {"galaxies": float(count)}
    said, passed = [], count > 0
    for axis, name in enumerate(("g1", "g2")):
        found = (found_plus - found_minus)[kept, axis] / 2
        truth = (true_plus - true_minus)[kept, axis] / 2
        offset = (found_plus + found_minus - true_plus - true_minus)[kept, axis] / 2
        m, dm = _mean_and_error(found / truth.mean() - 1)
        c, dc = _mean_and_error(offset)
        numbers |= {f"m {name}": m, f"dm {name}": dm, f"c {name}": c, f"dc {name}": dc}
        passed &= abs(m) < MULTIPLICATIVE + dm and abs(c) < ADDITIVE + dc
        said.append(f"{name}: m {m:+.4f} ± {dm:.4f}, c {c:+.5f} ± {dc:.5f}")
    return Gate(
        number=5,
        name="shear bias",
        outcome=judged(passed),
        finding=f"{'; '.join(said)} ({count} galaxies of SNR 100, ring test, ±{SHEAR})",
        asked=f"|m| < {MULTIPLICATIVE} and |c| < {ADDITIVE}, to within one standard error",
        numbers=numbers,
    )


def _shapes(response: Response, truth: bool, half: int, fwhm: float) -> Tensor:
    image = response.truth if truth else response.found
    found = moments(image, response.catalogue.x, response.catalogue.y, half, fwhm)
    return torch.stack((found.g1, found.g2), dim=1)


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    if len(values) < 2:
        return (float(values.mean()) if len(values) else math.nan), 0.0
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))
