"""Compressed sensing with an L1 penalty on wavelet coefficients, by sigpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from rimaging.errors import OptionError
from rimaging.solvers.sigpy_sense import solve


def l1_wavelet(
    kspace: Tensor,
    mask: Tensor,
    maps: Tensor,
    *,
    lamda: float,
    iterations: int = 100,
    wavelet: str = "db4",
    sets: bool = False,
) -> Tensor:
    """``argmin_x 1/2 |P F S x - y|^2 + lambda |W x|_1`` by FISTA.

    What sigpy's ``L1WaveletRecon`` solves, but with ``lambda`` in units of the image: the data are
    divided by the 99th percentile of ``|A* y|`` first.

    Args:
        kspace: complex ``(..., coil, y, x)``.
        mask: ``(..., y, x)``, 1 where measured.
        maps: complex ``(..., coil, y, x)``, or with ``sets`` ``(..., set, coil, y, x)``.
        lamda: threshold relative to the brightest parts of the image, 0 or more.
        iterations: FISTA steps.
        wavelet: a name that PyWavelets knows.
        sets: whether the maps carry a set axis.

    Returns:
        Complex ``(..., y, x)``, or with ``sets`` ``(..., set, y, x)``.

    Raises:
        ShapeError: arrays that do not fit each other.
        DataError: NaN, or nothing measured.
        OptionError: a negative lambda, or a wavelet that does not exist.

    Source: Lustig, Donoho & Pauly (2007), Magn. Reson. Med. 58, 1182.
    """
    return solve(kspace, mask, maps, sets, wavelet_app(lamda, iterations, wavelet))


def wavelet_app(lamda: float, iterations: int, wavelet: str = "db4") -> Callable[..., Any]:
    """What `sigpy_sense.solve` runs: ``app(A, y, bound)`` by FISTA.

    Raises OptionError for a lambda that is not 0 or more, fewer than one iteration, and later for a
    wavelet that does not exist.
    """
    if not 0 <= lamda < math.inf or iterations < 1:
        raise OptionError(
            f"l1_wavelet got {lamda=}, {iterations=}: give lamda >= 0, iterations >= 1"
        )

    def app(A: Any, y: Any, bound: float) -> Any:
        import sigpy as sp

        try:
            W = sp.linop.Wavelet(A.ishape, axes=(-2, -1), wave_name=wavelet)
        except ValueError:
            raise OptionError(
                f"l1_wavelet got wavelet={wavelet!r}: use a name of PyWavelets, such as 'db4'"
            ) from None
        proxg = sp.prox.UnitaryTransform(sp.prox.L1Reg(W.oshape, lamda), W)
        return sp.app.LinearLeastSquares(
            A, y, proxg=proxg, alpha=1 / bound, max_iter=iterations, show_pbar=False
        ).run()

    return app
