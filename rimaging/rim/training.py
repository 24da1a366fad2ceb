"""Training: a plain loop that can be stopped at any moment and resumed bit for bit."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, WeightsError
from rimaging.rim.ahead import drawn_ahead
from rimaging.rim.loss import loss
from rimaging.rim.rim import RIM, RIMConfig
from rimaging.rim.weights import read_tensors, write_tensors
from rimaging.typing import LikelihoodLike

Sampler = Callable[[torch.Generator, int, int], tuple[LikelihoodLike, Tensor]]
"""``sample(generator, batch, size) -> (likelihood, truth)``, deterministic by the generator."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a RIM is trained.

    Attributes:
        iterations: optimiser steps in all; the cosine schedule ends there.
        batch: items per optimiser step.
        size: edge of the training patches in pixels.
        learning_rate: peak of the schedule, after ``warmup`` steps.
        warmup: optimiser steps of linear rise.
        clip: largest norm of the gradient.
        ema: decay of the running mean of the weights, which is what is shipped.
        late: 0 weighs all inference steps alike, 1 linearly rising weights.
        floor: added to the squared error in units of the noise's variance, so that flat patches do
            not outweigh all others.
        blocks: weight of the same loss on means over blocks, which holds flux and background to
            account where the error of single pixels would hide theirs.
        checkpoint_steps: recompute inference steps in the backward pass, for memory.
        validate_every: optimiser steps between validations, curves and checkpoints.
        seed: of weights and samples.
    """

    iterations: int = 10_000
    batch: int = 16
    size: int = 64
    learning_rate: float = 2e-3
    warmup: int = 200
    clip: float = 1.0
    ema: float = 0.999
    late: float = 0.0
    floor: float = 0.01
    blocks: float = 0.0
    checkpoint_steps: bool = False
    validate_every: int = 500
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """Where a training run stands, for a progress bar and for the curves.

    ``psnr`` is that of the last validation, NaN before the first.
    """

    iteration: int
    iterations: int
    loss: float
    psnr: float
    seconds_left: float


class Trainer:
    """One training run in a folder: ``state.safetensors``, ``curves.csv``, ``config.json``.

    Each optimiser step draws its batch from a generator seeded by ``(seed, iteration)``, and the
    state holds weights, their running mean and Adam's moments: a run that was stopped goes on as if
    it never had been.

    Args:
        model: what the RIM is made of.
        training: how it is trained.
        sample: draws a batch.
        validate: a figure of merit in dB, taken of the running mean of the weights.
        out: the folder; a run found there is resumed.
        start: weights to start from instead of random ones.
        record: further settings, as JSON, that a resumed run must repeat.

    Raises:
        OptionError: the folder holds a run with other settings.
        WeightsError: weights to start from that are of another kind, a damaged state.
    """

    def __init__(
        self,
        model: RIMConfig,
        training: TrainingConfig,
        sample: Sampler,
        validate: Callable[[RIM], float],
        out: Path,
        *,
        start: RIM | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        torch.manual_seed(training.seed)
        self.config = training
        self.rim = RIM(model)
        if start is not None:
            if start.config != model:
                raise WeightsError(
                    f"the weights to start from are of {start.config}, expected {model}: "
                    "give the settings of these weights, or start from none"
                )
            self.rim.load_state_dict(start.state_dict())
        self.ema = RIM(model)
        self.ema.load_state_dict(self.rim.state_dict())
        self.optimiser = torch.optim.Adam(self.rim.parameters(), training.learning_rate)
        self.sample = sample
        self.validate = validate
        self.out = out
        self.iteration = 0
        self.seconds = 0.0
        self.psnr = math.nan
        self.stopped_by: int | None = None
        self._prepare({**asdict(model), **asdict(training), **(record or {})})

    def _prepare(self, config: dict[str, Any]) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        record = self.out / "config.json"
        if record.exists():
            before = json.loads(record.read_text())
            changed = sorted(
                k for k in config.keys() | before.keys() if config.get(k) != before.get(k)
            )
            if changed:
                raise OptionError(
                    f"{self.out} holds a run with other settings ({', '.join(changed)}): "
                    "choose another folder, or repeat the settings to resume"
                )
        _write_text(record, json.dumps(config, indent=1))
        if (self.out / "state.safetensors").exists():
            self.load()

    def to(self, device: torch.device) -> Trainer:
        """Move weights and optimiser to a device before or between runs."""
        self.rim.to(device)
        self.ema.to(device)
        for state in self.optimiser.state.values():
            for name, value in state.items():
                if name != "step":
                    state[name] = value.to(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.rim.parameters()).device

    def run(
        self,
        report: Callable[[Progress], None] | None = None,
        on_step: Callable[[Progress], None] | None = None,
        workers: int = 0,
    ) -> bool:
        """Train to the end or to SIGTERM/SIGINT; returns whether the end was reached.

        The step under way is finished and saved; ``stopped_by`` then holds the signal's number.

        Args:
            report: told after each validation, once the curves are written.
            on_step: told after each optimiser step.
            workers: threads that draw batches ahead, for a GPU; they change no result.

        Raises:
            DataError: the loss or the gradient is no longer finite.
        """
        end = self.config.iterations
        batches = drawn_ahead(self._draw, self.iteration, end, workers)
        with _stop_requests() as stop, closing(batches):
            while self.iteration < end and not stop.requested:
                started = time.perf_counter()
                value = self._step(*next(batches))
                self.seconds += time.perf_counter() - started
                last = self.iteration == end
                if self.iteration % self.config.validate_every == 0 or last:
                    self.psnr = self.validate(self.ema)
                    self._record(value)
                    self.save()
                    if report is not None:
                        report(self._progress(value))
                if on_step is not None:
                    on_step(self._progress(value))
        self.stopped_by = stop.number
        self.save()
        return self.iteration >= self.config.iterations

    def _progress(self, value: float) -> Progress:
        left = self.seconds / self.iteration * (self.config.iterations - self.iteration)
        return Progress(self.iteration, self.config.iterations, value, self.psnr, left)

    def _draw(self, iteration: int) -> tuple[LikelihoodLike, Tensor]:
        generator = torch.Generator().manual_seed(hash((self.config.seed, iteration)))
        return self.sample(generator, self.config.batch, self.config.size)

    def _step(self, likelihood: LikelihoodLike, truth: Tensor) -> float:
        config = self.config
        if self.device.type != "cpu":
            likelihood, truth = likelihood.to(self.device), truth.to(self.device)  # type: ignore[attr-defined]
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        estimates = self.rim(
            likelihood,
            network_dtype=self._network_dtype(),
            checkpoint_steps=config.checkpoint_steps,
        )
        value = loss(
            estimates,
            truth,
            likelihood.noise_scale,
            likelihood.item_axes,
            config.late,
            config.floor,
            config.blocks,
        )
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.rim.parameters(), config.clip)
        if not bool(torch.isfinite(norm)):
            raise DataError(
                f"the gradient of step {self.iteration + 1} is not finite "
                f"(loss {value.item():.4g}): train again with a lower learning rate"
            )
        self.optimiser.step()
        # Early on a long memory would keep the random start alive.
        decay = min(config.ema, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            for mean, weight in zip(self.ema.parameters(), self.rim.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
        self.iteration += 1
        return value.item()

    def _network_dtype(self) -> torch.dtype | None:
        """The network, and only it, runs in bfloat16 on a GPU that has it."""
        cuda = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if cuda else None

    def _learning_rate(self) -> float:
        config = self.config
        if self.iteration < config.warmup:
            return config.learning_rate * (self.iteration + 1) / config.warmup
        done = (self.iteration - config.warmup) / max(1, config.iterations - config.warmup)
        return config.learning_rate * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * done)))

    def _record(self, value: float) -> None:
        curves = self.out / "curves.csv"
        if not curves.exists():
            curves.write_text("iteration,seconds,learning_rate,loss,psnr\n")
        with curves.open("a") as file:
            file.write(
                f"{self.iteration},{self.seconds:.1f},{self._learning_rate():.3g},"
                f"{value:.5f},{self.psnr:.4f}\n"
            )

    def _forget_later_curves(self) -> None:
        """Drop what a run wrote after its last state, when it was killed: it is done again."""
        curves = self.out / "curves.csv"
        if not curves.exists():
            return
        head, *rows = curves.read_text().splitlines()
        kept = [row for row in rows if int(row.partition(",")[0]) <= self.iteration]
        if kept:
            self.psnr = float(kept[-1].rpartition(",")[2])
        _write_text(curves, "\n".join([head, *kept, ""]))

    def save(self) -> None:
        """Write the whole state under its final name at once."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.rim.named_parameters():
            tensors[f"rim.{name}"] = parameter.detach()
            for key, moment in self.optimiser.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = moment
        for name, parameter in self.ema.named_parameters():
            tensors[f"ema.{name}"] = parameter.detach()
        card = {"iteration": str(self.iteration), "seconds": repr(self.seconds)}
        write_tensors(self.out / "state.safetensors", tensors, card)

    def load(self) -> None:
        """Go on from the state in the folder."""
        tensors, card = read_tensors(self.out / "state.safetensors")
        try:
            with torch.no_grad():
                for name, parameter in self.rim.named_parameters():
                    parameter.copy_(tensors[f"rim.{name}"])
                    moments = {
                        key: tensors[f"adam.{key}.{name}"]
                        for key in ("step", "exp_avg", "exp_avg_sq")
                        if f"adam.{key}.{name}" in tensors
                    }
                    if moments:
                        self.optimiser.state[parameter] = moments
                for name, parameter in self.ema.named_parameters():
                    parameter.copy_(tensors[f"ema.{name}"])
            self.iteration = int(card["iteration"])
            self.seconds = float(card["seconds"])
            self._forget_later_curves()
        except (KeyError, RuntimeError, ValueError) as error:
            raise WeightsError(
                f"{self.out}/state.safetensors is not the state of this run ({error}): "
                "choose another folder"
            ) from None


@dataclass
class _Stop:
    """Which signal has asked to stop, if any."""

    number: int | None = None

    @property
    def requested(self) -> bool:
        return self.number is not None


@contextmanager
def _stop_requests() -> Iterator[_Stop]:
    """Hear SIGTERM and SIGINT without being cut short, so that the step under way is saved."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, _: object) -> None:
        stop.number = number

    before = {number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_text(path: Path, text: str) -> None:
    """Write a small file under a temporary name and rename it."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)
