"""Pairs of microscope images, one exposure and the mean of many: nothing is simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rimaging.datasets.data_card import DataCard, Item, Split, load_data_card
from rimaging.datasets.photon_noise import estimate_photon_noise
from rimaging.datasets.simulate.distributions import Parameter, with_defaults
from rimaging.datasets.simulate.images import cards_of, planes
from rimaging.datasets.simulate.photographs import dihedral
from rimaging.errors import DataError, RimagingError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity

__all__ = ["Microscopy", "Pair", "fit", "pairs"]

DEFAULTS: dict[str, Parameter] = {}
"""There are no parameters: nothing is simulated."""


class Pair(NamedTuple):
    """One field: ``noisy`` ``(y, x)``, its ``sigma`` map, and ``clean`` in the units of noisy."""

    name: str
    noisy: Tensor
    sigma: Tensor
    clean: Tensor


class Microscopy:
    """Draw patches of one noisy exposure, and of the clean image of the same field as the truth.

    The pairs are those of the data cards given; by default W2S, whose truth is the mean of 400
    exposures. Its copies were stretched to 0..255 each by itself, so the truth is fitted to the
    noisy image by one gain and one offset, and so is that of any other card. The likelihood holds
    the map of noise that anybody can estimate from the one exposure: variance = gain x signal +
    offset (`estimate_photon_noise`).

    There are no parameters: raises CardError for any.
    Source: Zhou et al., W2S, ECCV Workshops 2020; Weigert et al., Nature Methods 15, 1090 (2018).
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        root: Path,
        split: Split = "train",
        cards: Sequence[DataCard] = (),
    ) -> None:
        """Read the pairs of a split of the cards below ``root`` into memory."""
        with_defaults(parameters, DEFAULTS, "the sampler of microscopy")
        root = Path(root)
        self.pairs = read_pairs(cards, root, split) if cards else pairs(root, split)

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
    """The pairs of W2S in a split (the first ``limit``), white at 1."""
    return read_pairs([load_data_card("w2s")], root, split, limit)


def read_pairs(
    cards: Sequence[DataCard], root: Path, split: Split, limit: int | None = None
) -> tuple[Pair, ...]:
    """Read the pairs of a split (the first ``limit`` files of each card), as files have them.

    Files are any that `rimaging.open` reads as images; colours and further axes are pairs each by
    itself. Raises CardError for cards without pairs or without the split, DataError for a noisy
    image without noise, two of other shapes, and as `rimaging.datasets.simulate.images.planes`.
    """
    found = tuple(
        pair
        for card in cards_of(cards, split)
        for name, noisy, clean in card.paired(split)[:limit]
        for pair in _read(card, root, name, noisy, clean)
    )
    if not found:
        raise DataError(f"split '{split}' has no pair that leaks into no test: add others.")
    return found


def _read(card: DataCard, root: Path, name: str, noisy: Item, clean: Item) -> Iterator[Pair]:
    one, other = (planes(card.measurement(item, root), item.path) for item in (noisy, clean))
    if one.shape != other.shape:
        raise DataError(
            f"{noisy.path} has shape {tuple(one.shape)} and {clean.path} {tuple(other.shape)}, "
            "expected the same: cut both to the same field, or leave the pair out."
        )
    for image, truth in zip(one, other, strict=True):
        try:
            sigma = estimate_photon_noise(image).sigma(image)
        except RimagingError as error:
            reason = str(error).partition(":")[0]
            raise DataError(f"{noisy.path}: {reason}; leave the pair out.") from None
        yield Pair(name, image, sigma, fit(truth, image))


def fit(image: Tensor, target: Tensor) -> Tensor:
    """``a image + b`` nearest to ``target`` in the mean square."""
    x, y = image.double(), target.double()
    centred = x - x.mean()
    power = centred.square().sum().clamp_min(torch.finfo(torch.float64).tiny)
    gain = (centred * (y - y.mean())).sum() / power
    return (gain * centred + y.mean()).to(image.dtype)
