"""How wide the halo of a sky must be: as far as anything reaches, or as far as it matters."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from rimaging.mosaic.halo import TOLERANCE, likely_halo, measured_halo, parse_halo
from rimaging.mosaic.seams import corners, seam_error
from rimaging.mosaic.tiles import ALIGN, Grid
from rimaging.rim.frame import FRAME_RADIUS
from rimaging.rim.rim import RIM
from rimaging.tiles.processor import SkyTiles
from rimaging.tiles.sample import Read, brightest

NETWORK = 24.0
"""Effective radius of the network, in pixels, where the search for a halo begins."""


def find_halo(
    asked: str, process: SkyTiles, read: Read, grid: Grid, psf: Tensor
) -> tuple[int, float | None]:
    """The halo that was asked for or found, and its seam error in units of the noise.

    psf: ``(n, y, x)``, of all channels or from all over the image.
    """
    wanted = parse_halo(asked)
    if is_whole(grid):
        return 0, 0.0
    told = process.uncertainty
    exact = exact_reach(process.rim, max(process.blur.radius), process.steps, error=told)
    exact += max(process.blur.radius) if process.add_residual else 0
    exact = min(-(-exact // ALIGN) * ALIGN, -(-max(grid.shape[1:]) // ALIGN) * ALIGN)
    if wanted == -1:
        return exact, 0.0
    places = [*corners(grid, 3), brightest(read, grid.shape)]
    assert process.scale is not None
    # above the sky in the units of the image
    per_unit = 1.0 if process.detector is None else process.detector.gain
    sigma = np.nan_to_num(process.scale.cpu().numpy(), nan=1.0) / per_unit

    def error(halo: int) -> float:
        wide = min(exact, 2 * halo + 64)
        return seam_error(
            process,
            lambda unit: read(unit.block),
            grid.shape,
            places,
            (halo, wide),
            lambda unit: float(sigma[unit.core[0].start]),
            ("image", "uncertainty") if told else ("image",),
        )

    if wanted is not None:
        return min(wanted, exact), error(min(wanted, exact))
    kernels = process.blur.kernels((grid.shape[1], grid.shape[2]))
    start = likely_halo(_effective_radius(kernels), _fwhm(psf), NETWORK)
    return measured_halo(error, min(start, exact), exact, TOLERANCE)


def is_whole(grid: Grid) -> bool:
    """Whether every channel lies in one tile."""
    return grid.counts[1:] == (1, 1)


def exact_reach(rim: RIM, radius: int, steps: int, error: bool = False) -> int:
    """Pixels beyond which nothing can act on a pixel; the solves are fixed polynomials.

    The score, a curvature and the bound on its rows reach ``2 radius`` each, the frame of the
    network 16 (`rimaging.rim.frame.FRAME_RADIUS`), each of its steps no more than the cell's
    ``reach``. A solve of n iterations takes one score and n - 1 curvatures. The ``error`` that the
    weights tell is looked for around the last estimate, in a frame of that.
    """
    config = rim.config
    normal = 2 * radius
    step = normal * max(1, config.newton_iterations) + rim.cell.reach
    step += normal * config.consistency_iterations
    reach = FRAME_RADIUS + normal * config.initial_iterations + steps * step
    if error:
        head = rim.checked_error_head()
        reach += FRAME_RADIUS + normal * max(1, config.newton_iterations) + head.reach
    return reach


def _fwhm(psf: Tensor) -> float:
    """Of the widest PSF: the diameter of the disc that is above half its peak."""
    above = (psf >= psf.amax(dim=(-2, -1), keepdim=True) / 2).sum(dim=(-2, -1)).max()
    return 2 * math.sqrt(float(above) / math.pi)


def _effective_radius(kernel: Tensor) -> float:
    """The radius that holds all but 1e-3 of a kernel's absolute values."""
    height, width = kernel.shape[-2:]
    y = torch.arange(height) - height // 2
    x = torch.arange(width) - width // 2
    radius = torch.maximum(y.abs()[:, None], x.abs()[None, :])
    total = kernel.abs().sum(dim=(-2, -1))
    for reach in range(int(radius.max()) + 1):
        outside = (kernel.abs() * (radius > reach)).sum(dim=(-2, -1))
        if bool((outside <= 1e-3 * total).all()):
            return float(reach)
    return float(radius.max())
