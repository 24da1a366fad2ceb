"""Recorded steps: a batch of a known signature runs on the tensors of the first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.rim import graphs
from rimaging.rim.config import RIMConfig
from rimaging.rim.graphs import EAGER, Graphs, settled, signature
from rimaging.rim.training import Trainer
from rimaging.rim.training_config import TrainingConfig

CPU = torch.device("cpu")
MODEL = RIMConfig(
    steps=2,
    newton_iterations=1,
    consistency_iterations=2,
    confidence=True,
    unit="gru",
    fine=4,
    coarse=4,
    depth=1,
)


class Replay:
    """What a CUDA graph does, on a CPU: the same call again, on the same tensors."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.replay = call

    def pool(self) -> None:
        return None


class CpuRecording(graphs.Recording):
    def __init__(self, run: graphs.Run, likelihood: Gaussian, truth: Tensor, pool: None) -> None:
        self.buffers = graphs.tensors(likelihood)
        self.truth = truth

        def call() -> None:
            self.answer = run(likelihood, truth)

        self.graph = Replay(call)


def sample(generator: torch.Generator, batch: int, size: int) -> tuple[Gaussian, Tensor]:
    """Noise alone, or blur of two kinds."""
    truth = torch.rand(batch, size, size, generator=generator)
    sigma = 0.1 + torch.rand(batch, 1, 1, generator=generator)
    kind = int(torch.randint(3, (1,), generator=generator))
    if kind == 0:
        operator: Identity | Convolution = Identity((size, size))
    else:
        psf = torch.rand(batch, 3, 3, generator=generator)
        operator = Convolution(psf, (size, size), "zero" if kind == 1 else "circular")
    y = operator(truth)
    return Gaussian(operator, y + sigma * torch.randn(y.shape, generator=generator), sigma), truth


def test_replayed_steps_train_as_steps_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingConfig(iterations=24, batch=2, size=8, validate_every=100)
    straight, replayed = (
        Trainer(MODEL, training, sample, lambda _: 0.0, tmp_path / name) for name in "ab"
    )
    straight.run()
    monkeypatch.setattr(graphs, "Recording", CpuRecording)
    replayed.graphs = Graphs(replayed._optimise, CPU)
    replayed.run()
    assert len(replayed.graphs.recorded) == 3
    for one, other in zip(straight.ema.parameters(), replayed.ema.parameters(), strict=True):
        assert torch.equal(one, other)


def likelihood(boundary: str = "zero", side: int = 8, y: float = 1.0) -> Gaussian:
    psf = torch.full((3, 3), 1 / 9)
    data = torch.full((1, side, side), y)
    return Gaussian(Convolution(psf, (side, side), boundary), data, 0.1)  # type: ignore[arg-type]


def test_a_signature_is_all_but_the_values() -> None:
    truth = torch.zeros(1, 8, 8)
    known = signature(likelihood(), truth)
    assert signature(likelihood(y=2.0), truth) == known
    assert signature(likelihood("circular"), truth) != known
    assert signature(likelihood(side=9), torch.zeros(1, 9, 9)) != known
    assert signature(likelihood(), torch.zeros(2, 8, 8)) != known


def test_settings_without_a_hash_are_never_the_same() -> None:
    one, other = likelihood(), likelihood()
    one.operator.notes, other.operator.notes = [1], [1]  # type: ignore[assignment]
    truth = torch.zeros(1, 8, 8)
    assert signature(one, truth) != signature(other, truth)


def test_settled_tensors_have_memory_of_their_own() -> None:
    found = likelihood()
    found.register_buffer("wide", torch.ones(1).expand(5))
    before = {name: tensor.clone() for name, tensor in found.named_buffers()}
    settled(found, CPU)
    for name, tensor in found.named_buffers():
        assert torch.equal(tensor, before[name])
        tensor.copy_(torch.zeros_like(tensor))  # refused where elements share memory


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_records_and_learns_as_without(tmp_path: Path) -> None:
    training = TrainingConfig(iterations=30, batch=2, size=16, validate_every=100)
    runs = []
    for name in "ab":
        run = Trainer(MODEL, training, sample, lambda _: 0.0, tmp_path / name)
        runs.append(run.to(torch.device("cuda")))
    assert runs[0].graphs is not None and runs[1].graphs is not None
    runs[1].graphs.able = False
    for run in runs:
        run.run()
    assert runs[0].graphs.recorded and max(runs[0].graphs.seen.values()) > EAGER
    for one, other in zip(runs[0].ema.parameters(), runs[1].ema.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-2)
