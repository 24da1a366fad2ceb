"""Optimiser steps as CUDA graphs: one launch instead of thousands.

A RIM is many small kernels, and a processor that launches them one by one keeps a GPU waiting: four
fifths of the time on an H200 with batches of 64 patches. Batches of one signature (shapes, kinds
of operators) differ in the values of their tensors alone, so the step is recorded once for each
signature, on tensors of its own, and replayed after the values of a batch were copied there.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn

from rimaging.typing import LikelihoodLike

EAGER = 2
"""Batches of a signature that run kernel by kernel before its recording: they choose algorithms."""

Run = Callable[[LikelihoodLike, Tensor], Tensor]


class Graphs:
    """Run steps on a GPU, recorded where their signature recurs.

    Args:
        run: ``(likelihood, truth) -> loss``; it never waits for the GPU, and what changes
            from step to step beside its arguments (rates) stands in tensors.
    """

    def __init__(self, run: Run, device: torch.device) -> None:
        self.run = run
        self.device = device
        self.seen: Counter[Hashable] = Counter()
        self.recorded: dict[Hashable, Recording] = {}
        self.pool: Any = None
        self.able = True

    def __call__(self, likelihood: LikelihoodLike, truth: Tensor) -> Tensor:
        """One step; the tensor that it returns holds until the next."""
        key = signature(likelihood, truth)
        recording = self.recorded.get(key)
        if recording is None:
            self.seen[key] += 1
            settled(likelihood, self.device)
            truth = truth.to(self.device)
            if self.seen[key] <= EAGER or not self.able:
                return self.run(likelihood, truth)
            try:
                recording = Recording(self.run, likelihood, truth, self.pool)
            except RuntimeError as error:  # an operation that waits for the processor
                self.able = False
                reason = str(error).splitlines()[0]
                warnings.warn(f"steps are not recorded, which is slower: {reason}", stacklevel=2)
                return self.run(likelihood, truth)
            self.recorded[key] = recording
            self.pool = recording.graph.pool()
        else:
            recording.fill(likelihood, truth)
        recording.graph.replay()
        return recording.answer


class Recording:
    """The graph of one signature, and the tensors that it reads."""

    def __init__(self, run: Run, likelihood: LikelihoodLike, truth: Tensor, pool: Any) -> None:
        self.buffers = tensors(likelihood)
        self.truth = truth
        self.graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
            self.answer = run(likelihood, truth)

    def fill(self, likelihood: LikelihoodLike, truth: Tensor) -> None:
        """Copy the values of a batch of the same signature."""
        for name, value in tensors(likelihood).items():
            self.buffers[name].copy_(value)
        self.truth.copy_(truth)


def tensors(likelihood: LikelihoodLike) -> dict[str, Tensor]:
    """The tensors of a likelihood and its operator by their names."""
    assert isinstance(likelihood, nn.Module)
    return dict(likelihood.named_buffers())


def settled(likelihood: LikelihoodLike, device: torch.device) -> None:
    """Move the tensors to a device, each with memory of its own: values can be copied in."""
    assert isinstance(likelihood, nn.Module)
    moved: dict[int, Tensor] = {}  # a tensor that stands in two places stays one
    for module in likelihood.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                copy = moved.setdefault(
                    id(buffer), buffer.to(device).clone(memory_format=torch.contiguous_format)
                )
                module._buffers[name] = copy


def signature(likelihood: LikelihoodLike, truth: Tensor) -> Hashable:
    """All that decides which kernels run: shapes, kinds, and plain settings of every operator."""
    assert isinstance(likelihood, nn.Module)
    parts: list[Hashable] = [tuple(truth.shape), truth.dtype]
    for name, module in likelihood.named_modules():
        parts.append((name, type(module)))
        settings = ((k, v) for k, v in vars(module).items() if not k.startswith("_"))
        # What has no hash may hold anything: it never counts as the same.
        parts.extend((k, v if isinstance(v, Hashable) else id(v)) for k, v in settings)
    parts.extend((name, tuple(t.shape), t.dtype) for name, t in tensors(likelihood).items())
    return tuple(parts)
