"""Photographs with white noise: the training data of the denoiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from rimaging.datasets.data_card import DataCard, Split, load_data_card
from rimaging.datasets.simulate.distributions import Parameter, draw, fixed, with_defaults
from rimaging.datasets.simulate.images import read_images
from rimaging.errors import DataError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity

DEFAULTS: dict[str, Parameter] = {"sigma": {"uniform": [3, 65]}, "colour": 0.0}


@lru_cache(maxsize=3)
def bsds300(root: Path, split: Split, colour: bool = False) -> tuple[Tensor, ...]:
    """The photographs of BSDS300 in 8-bit counts; all samplers share what was read."""
    return read_images([load_data_card("bsds300")], root, split, colour=colour)


def dihedral(image: Tensor, element: int) -> Tensor:
    """Apply one of the eight symmetries of the square (0..7) to the last two axes."""
    if element >= 4:
        image = image.transpose(-2, -1)
    return torch.rot90(image, element % 4, (-2, -1))


class Photographs:
    """Draw noisy patches, y = x + sigma n with x in 0..1, and their truth.

    Images are those of the data cards given (`read_images`); by default the BSDS300 training images
    without the two that leak into Set5 and Set12, for validation the 200 test images of BSDS500.
    ``sigma`` is in 8-bit counts, drawn for each item; gray, or with ``colour`` RGB.
    Parameters, all optional: `DEFAULTS`. Raises CardError for others.

    Source: Martin et al., ICCV 2001; Putzky and Welling, arXiv:1706.04008.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        root: Path,
        split: Split = "train",
        cards: Sequence[DataCard] = (),
    ) -> None:
        """Read the images of a split of the cards below ``root`` into memory."""
        parameters = with_defaults(parameters, DEFAULTS, "the sampler of photographs")
        self.sigma = parameters["sigma"]
        self.colour = bool(fixed(parameters, "colour"))
        root = Path(root)
        self.images = (
            read_images(cards, root, split, colour=self.colour)
            if cards
            else bsds300(root, split, self.colour)
        )

    def patches(self, generator: torch.Generator, batch: int, size: int) -> Tensor:
        """Draw crops (batch, [3,] size, size) in 0..1, each flipped and turned at random.

        Raises DataError where ``size`` exceeds the shorter side of the photographs.
        """
        smallest = min(min(image.shape[-2:]) for image in self.images)
        if size > smallest:
            raise DataError(
                f"patches of {size} pixels asked, the photographs have {smallest}: "
                f"choose size <= {smallest}."
            )
        crops = torch.empty(batch, *self.images[0].shape[:-2], size, size)
        numbers = torch.rand(batch, 4, generator=generator).tolist()
        for crop, (which, top, left, symmetry) in zip(crops, numbers, strict=True):
            image = self.images[int(which * len(self.images))]
            y = int(top * (image.shape[-2] - size + 1))
            x = int(left * (image.shape[-1] - size + 1))
            crop.copy_(dihedral(image[..., y : y + size, x : x + size], int(8 * symmetry)))
        return crops / 255

    def __call__(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[Gaussian, Tensor]:
        """Draw a batch: the likelihood of the noisy patches and their truth."""
        truth = self.patches(generator, batch, size)
        sigma = draw(self.sigma, generator, batch) / 255
        sigma = sigma.reshape(-1, *(1 for _ in truth.shape[1:]))
        noise = torch.randn(truth.shape, generator=generator)
        identity = Identity(truth.shape[1:], torch.float32)
        return Gaussian(identity, truth + sigma * noise, sigma), truth
