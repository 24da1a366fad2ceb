"""Self-calibration: the gains of the stations from a model of the sky."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import ShapeError


def station_gains(
    values: Tensor,
    model: Tensor,
    sigma: Tensor,
    stations: Tensor,
    times: Tensor,
    *,
    amplitudes: bool = True,
    iterations: int = 200,
) -> Tensor:
    """``g_i conj(g_j)`` of each visibility, ``(n,)`` complex, that brings the model to the data.

        argmin_g  sum_ij |V_ij - g_i conj(g_j) M_ij|^2 / sigma_ij^2     at each time

    By alternating least squares. Phases are relative to the first station of each time.

    Args:
        values, model: measured and modelled visibilities, ``(2, n)``.
        sigma: ``(n,)``. stations: numbers ``(2, n)``. times: ``(n,)``, equal where at once.
        amplitudes: False holds ``|g| = 1``.

    Raises ShapeError for arrays of different lengths.

    Source: Salvini & Wijnholds, Astron. Astrophys. 571, A97 (2014).
    """
    count = len(sigma)
    if values.shape != (2, count) or model.shape != (2, count) or stations.shape != (2, count):
        raise ShapeError(
            f"station_gains got values {tuple(values.shape)}, model {tuple(model.shape)}, "
            f"stations {tuple(stations.shape)} and {count} sigma: give one of each for each"
        )
    v, m = (torch.complex(z[0].double(), z[1].double()) for z in (values, model))
    # one unknown for each station at each time
    names, place = torch.unique(stations, return_inverse=True)
    moment = torch.unique(times, return_inverse=True)[1]
    first, second = (moment * len(names) + end for end in place)
    total = (int(moment.max()) + 1) * len(names)
    weight = sigma.double().pow(-2)
    gains = torch.ones(total, dtype=torch.complex128)

    def gathered(index: Tensor, values: Tensor) -> Tensor:
        return torch.zeros(total, dtype=values.dtype).index_add(0, index, values)

    for step in range(iterations):
        # V_ij ~ g_i (conj(g_j) M_ij), and conj(V_ij) ~ g_j (conj(g_i) conj(M_ij))
        here, there = gains[second].conj() * m, gains[first].conj() * m.conj()
        above = gathered(first, weight * v * here.conj())
        above = above + gathered(second, weight * v.conj() * there.conj())
        below = gathered(first, weight * here.abs().square())
        below = below + gathered(second, weight * there.abs().square())
        fresh = torch.where(below > 0, above / below.clamp_min(1e-300), 1.0)
        if not amplitudes:
            fresh = fresh / fresh.abs().clamp_min(1e-300)
        gains = fresh if step % 2 == 0 else 0.5 * (fresh + gains)
        if not amplitudes:
            gains = gains / gains.abs().clamp_min(1e-300)
    found: Tensor = gains[first] * gains[second].conj()
    return found
