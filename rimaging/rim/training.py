"""Training: a plain loop that can be stopped at any moment and resumed bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, WeightsError
from rimaging.rim.ahead import drawn_ahead, reused
from rimaging.rim.config import RIMConfig
from rimaging.rim.graphs import Graphs
from rimaging.rim.objective import objective
from rimaging.rim.rim import RIM
from rimaging.rim.run_folder import RunFolder
from rimaging.rim.stopping import stop_requests
from rimaging.rim.training_config import TrainingConfig
from rimaging.typing import LikelihoodLike

LOOK = 25
"""Optimiser steps between looks at the loss on a GPU, which would wait at each."""

OVERFLOWS = 20
"""Optimiser steps in a row without a finite gradient that end a training."""

NEVER = 2**62
"""A number of optimiser steps that no clock lets happen."""

Sampler = Callable[[torch.Generator, int, int], tuple[LikelihoodLike, Tensor]]
"""``sample(generator, batch, size) -> (likelihood, truth)``, deterministic by the generator."""


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
    it never had been. The first weights are drawn by torch's own generator, which is seeded with
    the run's seed and not set back.

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
        if training.error_only and self.rim.error_head is None:
            raise OptionError("error_only needs an error head: set error_features, 32 for example")
        if start is not None:
            _begin_with(self.rim, start)
        self.ema = RIM(model)
        self.ema.load_state_dict(self.rim.state_dict())
        learned = self.rim.error_head if training.error_only else self.rim
        assert learned is not None
        self.optimiser = torch.optim.Adam(learned.parameters(), training.learning_rate)
        self.sample = sample
        self.validate = validate
        self.iteration = 0
        self.seconds = 0.0
        self.psnr = math.nan
        self.loss = math.nan
        self.stopped_by: int | None = None
        self.graphs: Graphs | None = None
        self.forgetting = torch.zeros(())
        self.overflows = torch.zeros(())
        self.folder = RunFolder(out, {**asdict(model), **asdict(training), **(record or {})})
        self.load()

    def to(self, device: torch.device) -> Trainer:
        """Move weights and optimiser to a device before or between runs."""
        self.rim.to(device)
        self.ema.to(device)
        self.forgetting = self.forgetting.to(device)
        self.overflows = self.overflows.to(device)
        cuda = device.type == "cuda"
        for group in self.optimiser.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=device) if cuda else group["lr"]
            group["capturable"] = cuda
        for state in self.optimiser.state.values():
            for name, value in state.items():
                # (on a CPU the number of steps stays where Adam wants it)
                state[name] = value.to(device) if cuda or name != "step" else value.cpu()
        self.graphs = Graphs(self._optimise, device) if cuda else None
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
            workers: processes that draw batches ahead, for a GPU; they change no result.

        Raises:
            DataError: the loss or the gradient is no longer finite.
        """
        batches = self._batches(workers)
        started = time.perf_counter() - self.seconds
        unseen: Tensor | None = None
        with stop_requests() as stop:
            while self._done() < 1 and not stop.requested:
                unseen = self._step(*next(batches))
                self.seconds = time.perf_counter() - started
                due = self.iteration % self.config.validate_every == 0 or self._done() >= 1
                if due or self.device.type == "cpu" or self.iteration % LOOK == 0:
                    self._look(unseen)
                    unseen = None
                if due:
                    self.psnr = self.validate(self.ema)
                    self.seconds = time.perf_counter() - started
                    rate = self._learning_rate()
                    self.folder.record(self.iteration, self.seconds, rate, self.loss, self.psnr)
                    self.save()
                    if report is not None:
                        report(self._progress())
                if on_step is not None:
                    on_step(self._progress())
        self.stopped_by = stop.number
        if unseen is not None:
            self._look(unseen)
        self.save()
        return self._done() >= 1

    def _batches(self, workers: int) -> Iterator[tuple[LikelihoodLike, Tensor]]:
        last = NEVER if self.config.minutes else self.config.iterations
        if self.config.reuse == 1:
            return drawn_ahead(self._draw, self.iteration, last, workers)

        def draws(first: int) -> Iterator[tuple[LikelihoodLike, Tensor]]:
            return drawn_ahead(self._draw, first, last, workers)

        return reused(draws, self.config.reuse, self.iteration, self.config.seed)

    def _done(self) -> float:
        """The part of the schedule that is behind, 1 at the end."""
        if self.config.minutes:
            return self.seconds / (60 * self.config.minutes)
        return self.iteration / self.config.iterations

    def _progress(self) -> Progress:
        all_iterations = max(self.iteration, round(self.iteration / max(self._done(), 1e-9)))
        left = self.seconds * (1 / max(self._done(), 1e-9) - 1)
        return Progress(self.iteration, all_iterations, self.loss, self.psnr, max(left, 0.0))

    def _look(self, value: Tensor) -> None:
        """Note the loss, and give up where no gradient is finite any more."""
        self.loss = value.item()
        if self.overflows.item() >= OVERFLOWS:
            raise DataError(
                f"the gradients of {OVERFLOWS} steps up to {self.iteration} are not finite "
                f"(loss {self.loss:.4g}): train again with a lower learning rate"
            )

    def _draw(self, iteration: int) -> tuple[LikelihoodLike, Tensor]:
        generator = torch.Generator().manual_seed(hash((self.config.seed, iteration)))
        return self.sample(generator, self.config.batch, self.config.size)

    def _step(self, likelihood: LikelihoodLike, truth: Tensor) -> Tensor:
        """One optimiser step; the loss, not waited for."""
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(self._learning_rate())
            else:
                group["lr"] = self._learning_rate()
        # Early on a long memory would keep the random start alive.
        decay = min(self.config.ema, (1 + self.iteration) / (10 + self.iteration))
        self.forgetting.fill_(1 - decay)
        step = self._optimise if self.graphs is None else self.graphs
        found = step(likelihood, truth)
        self.iteration += 1
        return found

    def _optimise(self, likelihood: LikelihoodLike, truth: Tensor) -> Tensor:
        """What a step computes, which a GPU can record (`rimaging.rim.graphs`)."""
        config = self.config
        value = objective(self.rim, likelihood, truth, config)
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.rim.parameters(), config.clip)
        # A batch in a thousand can overflow: nothing is learned of it, and nothing is lost.
        finite = torch.isfinite(norm)
        for parameter in self.rim.parameters():
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
        self.overflows.add_(1).mul_(~finite)
        self.optimiser.step()
        with torch.no_grad():
            for mean, weight in zip(self.ema.parameters(), self.rim.parameters(), strict=True):
                mean.lerp_(weight, self.forgetting)
        return value.detach()

    def _learning_rate(self) -> float:
        config = self.config
        if self.iteration < config.warmup:
            return config.learning_rate * (self.iteration + 1) / config.warmup
        if config.minutes:
            done = min(self._done(), 1.0)
        else:
            done = (self.iteration - config.warmup) / max(1, config.iterations - config.warmup)
        return config.learning_rate * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * done)))

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
        self.folder.save(tensors, card)

    def load(self) -> None:
        """Go on from the state in the folder, if there is one."""
        found = self.folder.load()
        if found is None:
            return
        tensors, card = found
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
            psnr = self.folder.forget_later_curves(self.iteration)
            self.psnr = math.nan if psnr is None else psnr
        except (KeyError, RuntimeError, ValueError) as error:
            raise WeightsError(
                f"{self.folder.state} is not the state of this run ({error}): choose another folder"
            ) from None


def _begin_with(rim: RIM, start: RIM) -> None:
    """Take over the weights of another; an error head that it lacks stays as it was drawn."""
    new = start.error_head is None
    headless = replace(rim.config, error_features=0, error_residual=False)
    wanted, found = asdict(headless if new else rim.config), asdict(start.config)
    unlike = [f"{k} = {found[k]}, expected {wanted[k]}" for k in found if found[k] != wanted[k]]
    if unlike:
        raise WeightsError(
            f"the weights to start from are of another kind ({'; '.join(unlike)}): "
            "give the settings of these weights, or start from none"
        )
    rim.load_state_dict(start.state_dict(), strict=not new)
