"""Photographs with white noise: the training data of the denoiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from rimaging.datasets.data_card import Split
from rimaging.datasets.simulate.distributions import Parameter, draw
from rimaging.errors import DataError, FormatError, OptionError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity

FOLDERS = {"train": "bsds300_train", "validation": "bsds500_extra200", "test": "bsds300_test"}
LEAKING = frozenset({"12003", "302003"})
"""Training images of which Set12 (starfish) and Set5 (woman) hold a copy."""

GRAY = (0.298936, 0.587043, 0.114021)
"""Weights of R, G, B with which the gray BSD68 test set was made."""


@lru_cache(maxsize=3)
def load_gray(folder: Path, exclude: frozenset[str] = frozenset()) -> tuple[Tensor, ...]:
    """Read every JPEG or PNG of a folder as gray uint8: the rounded sum of R, G, B by ``GRAY``.

    Files whose stem is in ``exclude`` are skipped. All samplers share what was read.
    Raises FormatError if none is left.
    """
    weights = torch.tensor(GRAY, dtype=torch.float64)
    return tuple(
        torch.einsum("cyx,c->yx", rgb.double(), weights).round().to(torch.uint8)
        for rgb in _read(folder, exclude)
    )


@lru_cache(maxsize=3)
def load_colour(folder: Path, exclude: frozenset[str] = frozenset()) -> tuple[Tensor, ...]:
    """Read every JPEG or PNG of a folder as uint8 ``(3, y, x)``; else as `load_gray`."""
    return tuple(_read(folder, exclude))


def _read(folder: Path, exclude: frozenset[str]) -> Iterator[Tensor]:
    import numpy as np
    from PIL import Image

    paths = [p for p in sorted(folder.glob("*")) if p.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    paths = [path for path in paths if path.stem not in exclude]
    if not paths:
        raise FormatError(f"no photographs in {folder}: expected JPEG or PNG files there.")
    for path in paths:
        with Image.open(path) as file:
            rgb = np.asarray(file.convert("RGB"))
        yield torch.from_numpy(rgb.transpose(2, 0, 1).copy())


def dihedral(image: Tensor, element: int) -> Tensor:
    """Apply one of the eight symmetries of the square (0..7) to the last two axes."""
    if element >= 4:
        image = image.transpose(-2, -1)
    return torch.rot90(image, element % 4, (-2, -1))


class Photographs:
    """Draw noisy patches, y = x + sigma n with x in 0..1, and their truth.

    Training patches come from the BSDS300 training images without the two that leak into
    Set5 and Set12; validation from the 200 test images of BSDS500, test from those of
    BSDS300. ``parameters["sigma"]`` is in 8-bit counts, drawn for each item; gray, or with
    ``parameters["colour"]`` RGB.

    Source: Martin et al., ICCV 2001; Putzky and Welling, arXiv:1706.04008.
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], root: Path, split: Split = "train"
    ) -> None:
        """Read the photographs of a split below ``root``/natural into memory as uint8."""
        if split not in FOLDERS:
            raise OptionError(f"split {split!r} is unknown: use one of {', '.join(FOLDERS)}.")
        self.sigma = parameters.get("sigma", {"uniform": [3, 65]})
        self.colour = bool(parameters.get("colour", False))
        load = load_colour if self.colour else load_gray
        self.images = load(Path(root) / "natural" / FOLDERS[split], LEAKING)

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
