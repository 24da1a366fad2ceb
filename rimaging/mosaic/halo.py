"""How wide a halo must be: exactly, or as far as it matters."""

from __future__ import annotations

from collections.abc import Callable

from rimaging.errors import OptionError
from rimaging.mosaic.tiles import aligned

TOLERANCE = 1e-3
"""Seam error that is allowed, in units of the noise."""
GROWTH = 1.4


def likely_halo(psf_radius: float, fwhm: float, network: float) -> int:
    """Where to begin: ``psf_radius + 3 FWHM`` and the network's effective radius, in pixels."""
    return aligned(psf_radius + 3 * fwhm + network)


def measured_halo(
    error: Callable[[int], float], start: int, limit: int, tolerance: float = TOLERANCE
) -> tuple[int, float]:
    """The first halo from ``start`` on, growing by 1.4, whose seam error is within ``tolerance``.

    Args:
        error: the seam error of a halo, in units of the noise.
        start, limit: pixels; at the limit the halo is exact, and its error rounding.
    """
    halo = min(aligned(start), aligned(limit))
    while True:
        found = error(halo)
        if found <= tolerance or halo >= limit:
            return halo, found
        halo = min(aligned(max(halo * GROWTH, halo + 1)), aligned(limit))


def parse_halo(text: str) -> int | None:
    """``"auto"`` is None, ``"exact"`` is -1, a number itself; raises OptionError for others."""
    if text == "auto":
        return None
    if text == "exact":
        return -1
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise OptionError(f"the halo is {text!r}: give auto, exact, or pixels")
    return aligned(value)
