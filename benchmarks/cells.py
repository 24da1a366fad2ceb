"""Which cell gives the best quality for its cost: the table of docs/design/cell.md.

Every variant is trained from scratch for the same CPU time (``--seconds``, of one thread) on the
same stream of patches of BSDS300's training images and judged on fixed validation patches of
BSDS500's test split. Tasks: denoising (sigma 3 to 65), where the operator is the identity;
deblurring (Gaussian blur of 1 to 2 px, sigma 2 to 10), where it is not and the inputs matter; any,
the five operators of the card image-any, where consistency with the data does.

    python benchmarks/cells.py --data ../shared/data --seconds 90
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rimaging.datasets.data_card import Split
from rimaging.datasets.operator_card import load_operator_card
from rimaging.datasets.simulate.photographs import Photographs
from rimaging.datasets.simulate.pictures import Pictures
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.rim.cell import CellConfig, ClassicUnit, GatedUnit, MultiscaleCell
from rimaging.rim.config import RIMConfig
from rimaging.rim.frame import Frame
from rimaging.rim.loss import loss
from rimaging.rim.rim import RIM, Step
from rimaging.typing import LikelihoodLike

Sampler = Callable[[torch.Generator, int, int], tuple[Gaussian, Tensor]]


class SingleScaleCell(nn.Module):
    """The papers' cell: 5x5, GRU, dilated 3x3, GRU, 3x3, on the grid of ``stride`` pixels."""

    def __init__(self, config: CellConfig, stride: int, features: int, kernel: int = 1) -> None:
        super().__init__()
        self.stride, self.features = stride, features
        area = stride**2
        self.read = nn.Conv2d(area * config.inputs, features, 5, padding=2)
        self.first = ClassicUnit(features, kernel)
        self.dilated = nn.Conv2d(features, features, 3, padding=2, dilation=2)
        self.second = ClassicUnit(features, kernel)
        self.write = nn.Conv2d(features, area * config.outputs, 3, padding=1)
        nn.init.normal_(self.write.weight, std=1e-3)

    def initial_state(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        height, width = (side // self.stride for side in inputs.shape[-2:])
        zero = inputs.new_zeros(len(inputs), self.features, height, width)
        return zero, zero

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        pixels = F.pixel_unshuffle(inputs, self.stride)
        first = self.first(F.relu(self.read(pixels)), state[0])
        second = self.second(F.relu(self.dilated(first)), state[1])
        return F.pixel_shuffle(self.write(second), self.stride), (first, second)


class Frameless(RIM):
    """The chosen machine without its local frame: inputs in units of the noise as they come."""

    def frame(self, likelihood: LikelihoodLike, x: Tensor) -> Frame:
        frame = super().frame(likelihood, x)
        return frame._replace(
            mean=torch.zeros_like(frame.mean), contrast=torch.ones_like(frame.contrast)
        )


class Forgetful(MultiscaleCell):
    """The chosen cell with its memory wiped at each step."""

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        update, _ = super().forward(inputs, state)
        return update, state


def recurrent(cell: MultiscaleCell, fine: nn.Module, coarse: nn.Module) -> MultiscaleCell:
    cell.fine, cell.coarse = fine, coarse  # type: ignore[assignment]
    return cell


def with_cell(config: RIMConfig, make: Callable[[CellConfig], nn.Module]) -> RIM:
    rim = RIM(config)
    rim.cell = make(config.cell())  # type: ignore[assignment]
    return rim


class Normed(RIM):
    """The chosen machine fed with the score over the largest eigenvalue of ``A* A``."""

    def step(
        self,
        likelihood: LikelihoodLike,
        step: Step,
        frame: Frame,
        network_dtype: torch.dtype | None = None,
    ) -> Step:
        return super().step(ScoreScaled(likelihood), step, frame, network_dtype)


class ScoreScaled:
    """A likelihood seen with its score scaled by the operator's norm."""

    def __init__(self, likelihood: LikelihoodLike) -> None:
        assert isinstance(likelihood, Gaussian)
        self.likelihood = likelihood
        self.largest = likelihood.operator.norm(8).reshape(-1, 1, 1) ** 2
        self.noise_scale = likelihood.noise_scale
        self.item_axes = likelihood.item_axes
        self.zeros = likelihood.zeros
        self.curvature = likelihood.curvature
        self.information = likelihood.information

    def score(self, x: Tensor) -> Tensor:
        return self.likelihood.score(x) / self.largest


def denoising(photographs: Photographs) -> Sampler:
    return photographs


def deblurring(photographs: Photographs, gain: float = 1.0) -> Sampler:
    """Gaussian blur; ``gain`` scales the operator, which a good input should not notice."""
    axis = torch.arange(-6.0, 7.0)

    def sample(generator: torch.Generator, batch: int, size: int) -> tuple[Gaussian, Tensor]:
        truth = photographs.patches(generator, batch, size)
        width = 1 + torch.rand(batch, generator=generator)
        profile = torch.exp(-0.5 * (axis / width[:, None]) ** 2)
        psf = profile[:, :, None] * profile[:, None, :]
        operator = gain * Convolution(
            psf / psf.sum((-2, -1), keepdim=True), (size, size), "reflect"
        )
        sigma = (2 + 8 * torch.rand(batch, 1, 1, generator=generator)) / 255
        noise = torch.randn(truth.shape, generator=generator)
        return Gaussian(operator, operator(truth) + sigma * noise, sigma), truth

    return sample


def restoring(data: Path, split: Split) -> Sampler:
    """The operators of the card ``image-any``: noise, blur, bicubic, missing pixels, sums."""
    return Pictures(load_operator_card("image-any").parameters, data, split)


def psnr(rim: RIM, batches: list[tuple[Gaussian, Tensor]]) -> float:
    with torch.inference_mode():
        values = [
            -10 * torch.log10(((rim(likelihood)[-1] - truth) ** 2).mean((-2, -1))).mean().item()
            for likelihood, truth in batches
        ]
    return sum(values) / len(values)


def train(rim: RIM, sample: Sampler, seconds: float, rate: float, late: float) -> int:
    """Adam for so many CPU seconds, a cosine schedule over that time; returns the iterations."""
    optimiser = torch.optim.Adam(rim.parameters(), rate)
    started, iteration = time.process_time(), 0
    while (done := (time.process_time() - started) / seconds) < 1:
        generator = torch.Generator().manual_seed(iteration)
        likelihood, truth = sample(generator, 8, 64)
        warm = min(1.0, (iteration + 1) / 30)
        for group in optimiser.param_groups:
            group["lr"] = rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        value = loss(rim(likelihood), truth, likelihood.noise_scale, 2, late, 0.01)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(rim.parameters(), 1.0)
        optimiser.step()
        iteration += 1
    return iteration


def flop_per_pixel(rim: RIM, likelihood: Gaussian, pixels: int) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        rim(likelihood)
    return counter.get_total_flops() / pixels


def variants() -> dict[str, tuple[str, Callable[[], RIM], float]]:
    """Name -> (task, how to make the RIM, late step weight)."""
    gray = RIMConfig(steps=4)
    blur = RIMConfig(steps=4, initial_iterations=4)
    every = RIMConfig(
        steps=4, initial_iterations=20, initial_roughness=0.02, newton_iterations=2, unit="gru"
    )
    held = replace(every, consistency_iterations=5, consistency_damping=0.25)

    def multiscale(c: CellConfig) -> MultiscaleCell:
        return MultiscaleCell(c)

    rows: dict[str, tuple[str, Callable[[], RIM], float]] = {
        "full resolution (papers), 24 features, 1x1 GRU": (
            "denoise",
            lambda: with_cell(gray, lambda c: SingleScaleCell(c, 1, 24)),
            1.0,
        ),
        "2x space-to-depth, 48 features, 1x1 GRU": (
            "denoise",
            lambda: with_cell(gray, lambda c: SingleScaleCell(c, 2, 48)),
            1.0,
        ),
        "2x space-to-depth, 32 features, 3x3 GRU": (
            "denoise",
            lambda: with_cell(gray, lambda c: SingleScaleCell(c, 2, 32, kernel=3)),
            1.0,
        ),
        "multi-scale 32/64, rectified unit 1x1 / 3x3 (chosen)": (
            "denoise",
            lambda: with_cell(gray, multiscale),
            1.0,
        ),
        "multi-scale 32/64, recurrence 1x1 / 1x1": (
            "denoise",
            lambda: with_cell(
                gray, lambda c: recurrent(MultiscaleCell(c), GatedUnit(32, 1), GatedUnit(64, 1))
            ),
            1.0,
        ),
        "multi-scale 32/64, recurrence 3x3 / 3x3": (
            "denoise",
            lambda: with_cell(
                gray, lambda c: recurrent(MultiscaleCell(c), GatedUnit(32, 3), GatedUnit(64, 3))
            ),
            1.0,
        ),
        "multi-scale 32/64, classic GRU 1x1 / 1x1": (
            "denoise",
            lambda: with_cell(
                gray, lambda c: recurrent(MultiscaleCell(c), ClassicUnit(32, 1), ClassicUnit(64, 1))
            ),
            1.0,
        ),
        "multi-scale 32/64, no memory": ("denoise", lambda: with_cell(gray, Forgetful), 1.0),
        "multi-scale 32/64, no local frame": ("denoise", lambda: Frameless(gray), 1.0),
        "multi-scale 24/48": (
            "denoise",
            lambda: RIM(replace(gray, fine=24, coarse=48)),
            1.0,
        ),
        "multi-scale 48/64": ("denoise", lambda: RIM(replace(gray, fine=48)), 1.0),
        "multi-scale 32/64, uniform step weights": ("denoise", lambda: RIM(gray), 0.0),
        "multi-scale 32/64, 2 steps": ("denoise", lambda: RIM(replace(gray, steps=2)), 1.0),
        "multi-scale 32/64, 8 steps": ("denoise", lambda: RIM(replace(gray, steps=8)), 1.0),
        "multi-scale 32/64, 16 steps": ("denoise", lambda: RIM(replace(gray, steps=16)), 1.0),
        "score only": ("deblur", lambda: RIM(blur), 1.0),
        "score only, operator x 0.1": ("deblur-small", lambda: RIM(blur), 1.0),
        "score over operator norm, operator x 0.1": ("deblur-small", lambda: Normed(blur), 1.0),
        "score and 2 CG steps": (
            "deblur",
            lambda: RIM(replace(blur, newton_iterations=2)),
            1.0,
        ),
        "score and 4 CG steps": (
            "deblur",
            lambda: RIM(replace(blur, newton_iterations=4)),
            1.0,
        ),
        "no consistency": ("any", lambda: RIM(every), 1.0),
        "consistency, damping 0.25": ("any", lambda: RIM(held), 1.0),
        "consistency, damping 0.02": (
            "any",
            lambda: RIM(replace(held, consistency_damping=0.02)),
            1.0,
        ),
        "consistency, confidence of the network": (
            "any",
            lambda: RIM(replace(held, confidence=True)),
            1.0,
        ),
    }
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=90, help="CPU seconds a variant")
    parser.add_argument("--only", default="", help="variants whose name holds this")
    parser.add_argument("--out", type=Path, help="append the rows to this Markdown file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training = Photographs({}, arguments.data, "train")
    validation = Photographs({}, arguments.data, "validation")
    tasks = {
        "denoise": (denoising(training), denoising(validation)),
        "deblur": (deblurring(training), deblurring(validation)),
        "deblur-small": (deblurring(training, 0.1), deblurring(validation, 0.1)),
        "any": (restoring(arguments.data, "train"), restoring(arguments.data, "validation")),
    }
    print("| task | variant | parameters | kFLOP/px | iterations | ms/Mpx | PSNR |\n|" + "---|" * 7)
    for name, (task, make, late) in variants().items():
        if arguments.only not in name:
            continue
        torch.manual_seed(0)
        rim = make()
        sample, judge = tasks[task]
        iterations = train(rim, sample, arguments.seconds, 2e-3, late)
        count = 20 if task == "any" else 8  # of the first, several kinds of operator
        batches = [judge(torch.Generator().manual_seed(1000 + i), 8, 128) for i in range(count)]
        value = psnr(rim, batches)
        likelihood, truth = batches[0]
        started = time.process_time()
        with torch.inference_mode():
            rim(likelihood)
        pace = (time.process_time() - started) / truth.numel() * 1e9  # ms for a megapixel
        values = sum(p.numel() for p in rim.parameters())
        cost = flop_per_pixel(rim, likelihood, truth.numel()) / 1e3
        columns = (
            task,
            name,
            f"{values:,}",
            f"{cost:.0f}",
            iterations,
            f"{pace:.0f}",
            f"{value:.2f}",
        )
        row = f"| {' | '.join(map(str, columns))} |"
        print(row, flush=True)
        if arguments.out is not None:
            with arguments.out.open("a") as file:
                file.write(row + "\n")


if __name__ == "__main__":
    main()
