"""Denoisers to compare with: BM3D, where it is installed, and non-local means."""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from rimaging.datasets.photon_noise import PhotonNoise


def has_bm3d() -> bool:
    """Whether PyPI's ``bm3d`` is here; its licence is for non-commercial use, so it never ships."""
    return find_spec("bm3d") is not None


def bm3d(noisy: Tensor, sigma: float) -> Tensor:
    """BM3D of ``(y, x)``, or of colour ``(3, y, x)``, by its authors' own library.

    Source: Makinen, Azzari & Foi, IEEE TIP 29, 8339 (2020).
    """
    module = import_module("bm3d")
    array = noisy.double().numpy()
    if noisy.ndim == 3:
        found = module.bm3d_rgb(array.transpose(1, 2, 0), sigma).transpose(2, 0, 1)
    else:
        found = module.bm3d(array, sigma)
    return torch.from_numpy(found.copy()).to(noisy.dtype)


def non_local_means(noisy: Tensor, sigma: float, h: float) -> Tensor:
    """Non-local means of scikit-image with filter strength ``h sigma``."""
    from skimage.restoration import denoise_nl_means

    estimate = denoise_nl_means(
        noisy.numpy(), patch_size=5, patch_distance=6, h=h * sigma, sigma=sigma, fast_mode=True
    )
    return torch.from_numpy(estimate).to(noisy.dtype)


def stabilised(noisy: Tensor, photons: PhotonNoise) -> Tensor:
    """The generalised Anscombe transform: noise of about one everywhere.

    ``2 / g sqrt(g z + 3/8 g^2 + offset)``; plain ``z / sigma`` where there is no gain.
    """
    if photons.gain <= 0:
        return noisy / math.sqrt(photons.offset)
    inner: Tensor = photons.gain * noisy + 0.375 * photons.gain**2 + photons.offset
    root: Tensor = inner.clamp_min(0).sqrt()
    return 2 / photons.gain * root


def unstabilised(image: Tensor, photons: PhotonNoise) -> Tensor:
    """The algebraic inverse of `stabilised`; what bias it leaves is nearly a constant."""
    if photons.gain <= 0:
        return image * math.sqrt(photons.offset)
    inner: Tensor = (0.5 * photons.gain * image).square()
    return (inner - 0.375 * photons.gain**2 - photons.offset) / photons.gain
