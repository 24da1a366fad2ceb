"""A PSF made to fit stars: what they have in common beside it, put right.

Stars are moved by the Fourier shift, which is exact for an image that is sampled finely enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Fit", "fitted"]

ROUNDS = 4
STEPS = 6
"""Of Gauss-Newton for the places of the stars, in each round."""
FARTHEST = 0.3
"""Pixels by which a star moves in a step, at most; in all by one."""
REACH = 2.6
"""FWHM to which the PSF is changed; beyond, neighbours decide what stars have in common."""
UNLIKE = 2.0
"""A star whose residual is so many times the usual one is no example."""


class Fit(NamedTuple):
    """``psf (y, x)`` of sum 1, how many stars it is made of, and its last change over its peak."""

    psf: np.ndarray
    stars: int
    change: float


def fitted(psf: np.ndarray, image: np.ndarray, places: np.ndarray, fwhm: float) -> Fit:
    """Change a PSF until the stars of an image ``(y, x)`` leave nothing in common.

        min sum_k,i w_ki (d_ki - f_k p(r_i - c_k) - b_k)^2    in f, c, b of each star k
        p <- p + median_k of the residuals moved to one centre, over f_k

    with weights ``w`` that count a residual of twice the usual one half (Cauchy), within 2.6 FWHM.

    Args:
        psf: ``(side, side)`` of odd side, sum 1, near the truth, FWHM of at least 2.5 pixels:
            finer stars cannot be moved by a Fourier shift.
        image: in any units; its sky may differ from star to star, not within a stamp.
        places: ``(k, 2)``, x and y of stars whose stamps of ``side`` pixels lie in the image.

    Returns:
        A `Fit`; the PSF stays centred, as each star finds its own place.

    Source: the residuals of Anderson & King, PASP 112, 1360 (2000), with Fourier shifts and robust
    weights in place of their grid and clipping.
    """
    side = psf.shape[0]
    half = side // 2
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1]
    radius = np.hypot(rows, columns)
    outer = min(REACH * fwhm, half)
    taper = np.clip((outer - radius) / (0.25 * outer), 0, 1)
    core = radius <= outer
    nearest = np.round(places).astype(int)
    stamps = np.stack(
        [image[y - half : y + half + 1, x - half : x + half + 1] for x, y in nearest.tolist()]
    )
    centres = places - nearest
    good, change = np.ones(len(stamps), bool), 0.0
    for _ in range(ROUNDS):
        rest, moves = _residuals(psf, stamps, centres, core)
        aligned = _cut(np.fft.ifft2(np.fft.fft2(_padded(rest)) / moves).real, side)
        size = np.median(np.abs(aligned[:, core]), axis=1)
        good = size <= UNLIKE * np.median(size[np.isfinite(size)])  # nan is no star
        if not good.any():
            break
        step = np.median(aligned[good], axis=0) * taper
        psf = (psf + step) / (psf + step).sum()
        change = float(np.abs(step).max() / psf.max())
    return Fit(psf, int(good.sum()), change)


def _residuals(
    psf: np.ndarray, stamps: np.ndarray, centres: np.ndarray, core: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is left of each star over its flux, nan where it has none, and how it was moved."""
    side = psf.shape[0]
    frequency = 2j * np.pi * np.fft.fftfreq(3 * side)
    spectrum = np.fft.fft2(_padded(psf[None]))
    data = stamps[:, core]
    flat = np.ones_like(data)
    weight, place = flat, centres
    for _ in range(STEPS):
        moves = np.exp(
            -frequency[None, :, None] * place[:, 1, None, None]
            - frequency[None, None, :] * place[:, 0, None, None]
        )
        moved = spectrum * moves
        model = _cut(np.fft.ifft2(moved).real, side)
        slopes = [
            -_cut(np.fft.ifft2(moved * along).real, side)[:, core]
            for along in (frequency[None, None, :], frequency[None, :, None])
        ]
        basis = np.stack([model[:, core], *slopes, flat], axis=-1)
        normal = np.einsum("kpi,kp,kpj->kij", basis, weight, basis)
        right = np.einsum("kpi,kp,kp->ki", basis, weight, data)
        found = np.linalg.solve(normal, right[..., None])[..., 0]
        left = data - np.einsum("kpi,ki->kp", basis, found)
        usual = 1.4826 * np.median(np.abs(left), axis=1, keepdims=True)
        weight = 1 / (1 + (left / np.maximum(2 * usual, 1e-12)) ** 2)
        flux = np.where(found[:, 0] > 0, found[:, 0], np.nan)
        step = np.nan_to_num(found[:, 1:3] / flux[:, None])
        place = np.clip(place + np.clip(step, -FARTHEST, FARTHEST), centres - 1, centres + 1)
    rest = stamps - found[:, 0, None, None] * model - found[:, 3, None, None]
    return rest / flux[:, None, None], moves


def _padded(images: np.ndarray) -> np.ndarray:
    side = images.shape[-1]
    return np.pad(images, ((0, 0), (side, side), (side, side)))


def _cut(images: np.ndarray, side: int) -> np.ndarray:
    return images[:, side : 2 * side, side : 2 * side]
