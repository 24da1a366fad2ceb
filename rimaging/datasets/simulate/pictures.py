"""Photographs seen through many operators: one set of weights for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from rimaging.datasets.data_card import DataCard, Split
from rimaging.datasets.simulate.distributions import (
    Parameter,
    draw,
    draw_name,
    draw_one,
    fixed,
    integer,
    with_defaults,
)
from rimaging.datasets.simulate.kernels import blur_kernels
from rimaging.datasets.simulate.photographs import Photographs
from rimaging.errors import CardError
from rimaging.operators.clipped import Clipped
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.projection import RandomProjection
from rimaging.operators.resampling import Bicubic
from rimaging.operators.sampling import Sampling

OPERATORS = ("identity", "convolution", "bicubic", "sampling", "projection")
"""The names of the operators, which are the names of their shares in a card."""

COUNTS = 64
"""Different numbers of projections, from few to as many as pixels."""

DEFAULTS: dict[str, Parameter] = {
    **dict.fromkeys(OPERATORS, 0.0),
    "colour": 0.0,
    "sigma": {"uniform": [3, 65]},
    "clipped": 0.0,
    "kernel": {"choice": ["gaussian", "motion"]},
    "kernel_side": {"choice": [9, 13, 17, 21, 25]},
    "kernel_width": {"uniform": [0.6, 3.0]},
    "boundary": {"choice": ["circular", "reflect", "valid"]},
    "convolution_sigma": {"loguniform": [0.5, 13]},
    "scale": {"choice": [2, 3, 4]},
    "bicubic_sigma": 0.4,
    "missing": {"uniform": [0.2, 0.9]},
    "sampling_sigma": {"loguniform": [0.3, 25]},
    "ensemble": {"choice": ["gaussian", "binary", "fourier"]},
    "ratio": {"uniform": [0.1, 0.6]},
    "projection_side": 32,
    "projection_sigma": 1.0,
}


def shares(parameters: Mapping[str, Parameter]) -> dict[str, float]:
    """The share of each operator; raise CardError where one is negative, or none above zero."""
    found = {name: fixed({**DEFAULTS, **parameters}, name) for name in OPERATORS}
    if not all(0 <= share < math.inf for share in found.values()) or not any(found.values()):
        raise CardError(f"give a share above zero to one of {', '.join(OPERATORS)}")
    return found


class Pictures:
    """Draw y = A x + n of photographs x in 0..1, A of a kind that the shares decide for a batch.

    - ``identity``: noise alone; a share ``clipped`` of the batches is rounded to 8 bits and ends at
      black and white, as files do, and their likelihood knows it.
    - ``convolution``: blur by random Gaussians and simulated camera shake; where the boundary is
      "valid" the scene is as large as the patch and the image smaller by the kernel.
    - ``bicubic``: smaller by ``scale``, as MATLAB's ``imresize``.
    - ``sampling``: pixels ``missing`` at random.
    - ``projection``: ``ratio`` times as many random sums as pixels, of patches of
      ``projection_side`` pixels; as many of them as fill the area of the batch.

    Noise is white, of ``sigma`` (``convolution_sigma``, ...) 8-bit counts, drawn for each item.
    With ``colour`` the photographs have three channels; they are those of `Photographs`.
    Parameters, all optional: `DEFAULTS`; shares are relative to each other.

    Raises CardError for other parameters, and where no share is above zero.
    Source: Putzky and Welling, arXiv:1706.04008; test kernels of others are never used.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        root: Path,
        split: Split = "train",
        cards: Sequence[DataCard] = (),
    ) -> None:
        """Read the photographs of a split of the cards below ``root``."""
        self.parameters = with_defaults(parameters, DEFAULTS, "the sampler of pictures")
        self.shares = torch.tensor(list(shares(self.parameters).values()))
        self.clipped = fixed(self.parameters, "clipped")
        self.colour = bool(fixed(self.parameters, "colour"))
        self.photographs = Photographs({"colour": self.colour}, root, split, cards)
        self.draws = 6 if int((self.shares > 0).sum()) == 1 else 12
        """How many batches show about all of the operators: what validation draws at least."""

    def __call__(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[Gaussian, Tensor]:
        """Draw a batch: the likelihood, and the truth ``(batch, [3,] y, x)``."""
        chosen = OPERATORS[int(torch.multinomial(self.shares, 1, generator=generator))]
        return self.likelihood(chosen, generator, batch, size)

    def likelihood(
        self, name: str, generator: torch.Generator, batch: int, size: int
    ) -> tuple[Gaussian, Tensor]:
        """Draw a batch of one kind of operator."""
        make: dict[str, Callable[[torch.Generator, int, int], tuple[LinearOperator, Tensor]]] = {
            "identity": self._identity,
            "convolution": self._convolution,
            "bicubic": self._bicubic,
            "sampling": self._sampling,
            "projection": self._projection,
        }
        operator, truth = make[name](generator, batch, size)
        key = "sigma" if name == "identity" else f"{name}_sigma"
        sigma = draw(self.parameters[key], generator, len(truth)) / 255
        clean = operator(truth)
        sigma = sigma.reshape(-1, *(1 for _ in operator.range.shape))
        noise = torch.randn(clean.shape, generator=generator)
        y = clean + sigma * noise
        if name == "identity" and self.clipped > float(torch.rand((), generator=generator)):
            return Clipped(operator, (255 * y).round() / 255, sigma), truth
        return Gaussian(operator, y * (operator.measured if name == "sampling" else 1), sigma), (
            truth
        )

    def _patches(self, generator: torch.Generator, batch: int, size: int) -> Tensor:
        return self.photographs.patches(generator, batch, size)

    def _shape(self, size: int) -> tuple[int, ...]:
        return (3, size, size) if self.colour else (size, size)

    def _identity(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[LinearOperator, Tensor]:
        return Identity(self._shape(size)), self._patches(generator, batch, size)

    def _convolution(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[LinearOperator, Tensor]:
        boundary = draw_name(self.parameters["boundary"], generator)
        # A kernel wider than a third of the patch would leave little that is seen whole.
        side = min(int(draw_one(self.parameters["kernel_side"], generator)), size // 3)
        side -= 1 - side % 2
        kernel = blur_kernels(
            self.parameters["kernel"], self.parameters["kernel_width"], generator, batch, side
        )
        inner = size - (side - 1 if boundary == "valid" else 0)
        kernel = kernel[:, None] if self.colour else kernel
        operator = Convolution(kernel, self._shape(inner), boundary)  # type: ignore[arg-type]
        return operator, self._patches(generator, batch, size)

    def _bicubic(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[LinearOperator, Tensor]:
        scale = int(draw_one(self.parameters["scale"], generator))
        size -= size % scale
        return Bicubic(self._shape(size), scale), self._patches(generator, batch, size)

    def _sampling(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[LinearOperator, Tensor]:
        missing = draw(self.parameters["missing"], generator, batch)[:, None, None]
        known = (torch.rand(batch, size, size, generator=generator) >= missing).float()
        known[:, 0, 0] = 1  # a mask that measures nothing is no measurement
        if self.colour:
            known = known[:, None].expand(batch, 3, size, size)
        operator = Sampling(known, ndim=3 if self.colour else 2)
        return operator, self._patches(generator, batch, size)

    def _projection(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[LinearOperator, Tensor]:
        side = min(int(draw_one(self.parameters["projection_side"], generator)), size)
        shape = self._shape(side)
        pixels = side**2 * (3 if self.colour else 1)
        # In steps, so that few shapes of batches recur: a GPU records the work of each.
        steps = max(1, round(draw_one(self.parameters["ratio"], generator) * COUNTS))
        count = max(1, steps * pixels // COUNTS)
        ensemble = draw_name(self.parameters["ensemble"], generator)
        seed = integer(0, 2**31 - 1, generator)
        operator = RandomProjection(shape, count, ensemble, seed)  # type: ignore[arg-type]
        return operator, self._patches(generator, batch * (size // side) ** 2, side)
