"""Pairs of microscope images, one exposure and the mean of many: nothing is simulated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rimaging.datasets.data_card import Split, load_data_card
from rimaging.datasets.photon_noise import estimate_photon_noise
from rimaging.datasets.picture import read_picture
from rimaging.datasets.simulate.distributions import Parameter
from rimaging.datasets.simulate.photographs import dihedral
from rimaging.errors import CardError, DataError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity

__all__ = ["Microscopy", "Pair", "fit", "pairs"]


class Pair(NamedTuple):
    """One field: ``noisy`` ``(y, x)``, its ``sigma`` map, and ``clean`` in the units of noisy."""

    name: str
    noisy: Tensor
    sigma: Tensor
    clean: Tensor


class Microscopy:
    """Draw patches of one noisy exposure, and of the mean of 400 of the same field as the truth.

    The copies of W2S were stretched to 0..255 each by itself, so the truth is fitted to the noisy
    image by one gain and one offset. The likelihood holds the map of noise that anybody can
    estimate from the one exposure: variance = gain x signal + offset (`estimate_photon_noise`).

    There are no parameters: raises CardError for any.
    Source: Zhou et al., W2S, ECCV Workshops 2020; Weigert et al., Nature Methods 15, 1090 (2018).
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], root: Path, split: Split = "train"
    ) -> None:
        """Read the pairs of a split below ``root``."""
        if parameters:
            raise CardError(f"microscopy has no parameters, got {', '.join(parameters)}: drop them")
        self.pairs = pairs(Path(root), split)

    def __call__(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[Gaussian, Tensor]:
        """Draw a batch: the likelihood of the noisy patches and the truth (batch, size, size)."""
        smallest = min(min(pair.noisy.shape) for pair in self.pairs)
        if size > smallest:
            raise DataError(f"patches of {size} pixels asked, the images have {smallest}: go below")
        drawn = []
        for which, top, left, symmetry in torch.rand(batch, 4, generator=generator).tolist():
            pair = self.pairs[int(which * len(self.pairs))]
            y = int(top * (pair.noisy.shape[0] - size + 1))
            x = int(left * (pair.noisy.shape[1] - size + 1))
            stack = torch.stack((pair.noisy, pair.sigma, pair.clean))[:, y : y + size, x : x + size]
            drawn.append(dihedral(stack, int(8 * symmetry)))
        noisy, sigma, clean = torch.stack(drawn, dim=1)
        return Gaussian(Identity((size, size)), noisy, sigma), clean


@lru_cache(maxsize=3)
def pairs(root: Path, split: Split, limit: int | None = None) -> tuple[Pair, ...]:
    """The pairs of a split (the first ``limit``), white at 1."""
    found = []
    noisy_files = [i.path for i in load_data_card("w2s").items(split) if "_noisy" in i.path]
    for path in noisy_files[:limit]:
        noisy = read_picture(root / path).data.float()
        clean = read_picture(root / path.replace("_noisy", "_clean")).data.float()
        sigma = estimate_photon_noise(noisy).sigma(noisy)
        found.append(Pair(Path(path).stem.removesuffix("_noisy"), noisy, sigma, fit(clean, noisy)))
    return tuple(found)


def fit(image: Tensor, target: Tensor) -> Tensor:
    """``a image + b`` nearest to ``target`` in the mean square."""
    x, y = image.double(), target.double()
    centred = x - x.mean()
    power = centred.square().sum().clamp_min(torch.finfo(torch.float64).tiny)
    gain = (centred * (y - y.mean())).sum() / power
    return (gain * centred + y.mean()).to(image.dtype)
