from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, WeightsError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.rim.config import RIMConfig
from rimaging.rim.loss import BLOCK_FLOOR, loss, misfit
from rimaging.rim.rim import RIM
from rimaging.rim.training import Progress, Sampler, Trainer
from rimaging.rim.training_config import TrainingConfig

MODEL = RIMConfig(steps=2, fine=4, coarse=4)
TRAINING = TrainingConfig(iterations=6, batch=2, size=8, warmup=2, validate_every=2)


def sample(generator: torch.Generator, batch: int, size: int) -> tuple[Gaussian, Tensor]:
    truth = torch.rand(batch, size, size, generator=generator)
    y = truth + 0.1 * torch.randn(truth.shape, generator=generator)
    return Gaussian(Identity((size, size), torch.float32), y, 0.1), truth


def trainer(out: Path, training: TrainingConfig = TRAINING) -> Trainer:
    return Trainer(
        MODEL, training, sample, lambda rim: float(rim.cell.read.weight.detach().sum()), out
    )


def state(run: Trainer) -> dict[str, Tensor]:
    found = {f"rim.{k}": v for k, v in run.rim.state_dict().items()}
    found |= {f"ema.{k}": v for k, v in run.ema.state_dict().items()}
    for name, parameter in run.rim.named_parameters():
        moments = run.optimiser.state[parameter]
        found |= {f"{k}.{name}": moments[k] for k in ("step", "exp_avg", "exp_avg_sq")}
    return found


def stop_at(iteration: int, number: int):  # type: ignore[no-untyped-def]
    def request(standing: Progress) -> None:
        if standing.iteration == iteration:
            os.kill(os.getpid(), number)

    return request


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("iteration", [1, 4])
def test_stop_and_resume_is_bit_exact(tmp_path: Path, iteration: int, number: int) -> None:
    straight = trainer(tmp_path / "a")
    assert straight.run()
    stopped = trainer(tmp_path / "b")
    before = signal.getsignal(number)
    assert not stopped.run(on_step=stop_at(iteration, number))
    assert signal.getsignal(number) is before
    assert (stopped.iteration, stopped.stopped_by) == (iteration, number)
    resumed = trainer(tmp_path / "b")
    assert resumed.iteration == iteration
    assert resumed.run()
    one, other = state(straight), state(resumed)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_killed_run_forgets_what_its_state_does_not_hold(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.run(on_step=stop_at(3, signal.SIGTERM))
    curves = tmp_path / "curves.csv"
    kept = curves.read_text()
    curves.write_text(kept + "4,1.0,0.001,0.5,30.0\n")
    again = trainer(tmp_path)
    assert curves.read_text() == kept
    assert again.psnr == pytest.approx(float(kept.splitlines()[-1].split(",")[-1]))


def test_validations_are_reported_once_each(tmp_path: Path) -> None:
    seen: list[int] = []
    run = trainer(tmp_path)
    run.run(lambda p: seen.append(p.iteration))
    assert seen == [2, 4, 6]
    assert run.run(lambda p: seen.append(p.iteration))  # nothing is left to do
    assert seen == [2, 4, 6]


def test_seeds_matter_and_repeat(tmp_path: Path) -> None:
    from dataclasses import replace

    runs = [trainer(tmp_path / n, replace(TRAINING, seed=s)) for n, s in (("a", 1), ("b", 1))]
    other = trainer(tmp_path / "c", replace(TRAINING, seed=2))
    for run in (*runs, other):
        run.run()
    one, same = (state(run) for run in runs)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["rim.cell.read.weight"], state(other)["rim.cell.read.weight"])


def test_a_folder_of_another_run_and_a_damaged_state_are_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    trainer(tmp_path).run()
    with pytest.raises(OptionError, match="batch"):
        trainer(tmp_path, replace(TRAINING, batch=3))
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="damaged"):
        trainer(tmp_path)


def broken(every: int) -> Sampler:
    seen = [0]

    def draw(generator: torch.Generator, batch: int, size: int) -> tuple[Gaussian, Tensor]:
        likelihood, truth = sample(generator, batch, size)
        seen[0] += 1
        return likelihood, truth * (math.nan if seen[0] % every == 0 else 1)

    return draw


def test_divergence_is_said(tmp_path: Path) -> None:
    from dataclasses import replace

    training = replace(TRAINING, iterations=100, validate_every=1000)
    run = Trainer(MODEL, training, broken(1), lambda _: 0.0, tmp_path)
    before = {k: v.clone() for k, v in run.rim.state_dict().items()}
    with pytest.raises(DataError, match="20 steps up to 20 are not finite"):
        run.run()
    assert not (tmp_path / "state.safetensors").exists()
    assert all(torch.equal(v, before[k]) for k, v in run.rim.state_dict().items())


def test_a_batch_that_overflows_teaches_nothing_and_costs_nothing(tmp_path: Path) -> None:
    run = Trainer(MODEL, TRAINING, broken(3), lambda _: 0.0, tmp_path)
    assert run.run()
    assert all(bool(torch.isfinite(v).all()) for v in run.ema.state_dict().values())


def test_starting_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    other = RIM(RIMConfig(steps=2, fine=8, coarse=4))
    with pytest.raises(WeightsError, match="start from"):
        Trainer(MODEL, TRAINING, sample, lambda _: 0.0, tmp_path, start=other)


def test_a_training_by_the_clock_ends_by_it(tmp_path: Path) -> None:
    from dataclasses import replace

    run = trainer(tmp_path, replace(TRAINING, minutes=0.02))
    seen: list[Progress] = []
    assert run.run(on_step=seen.append)
    assert 1.2 <= run.seconds < 10
    assert run.iteration > TRAINING.iterations
    assert run._learning_rate() == pytest.approx(0.005 * TRAINING.learning_rate, rel=0.1)
    assert seen[-1].iterations == run.iteration and seen[-1].seconds_left == 0


def test_reused_draws_resume_bit_for_bit(tmp_path: Path) -> None:
    from dataclasses import replace

    training = replace(TRAINING, iterations=40, reuse=2, validate_every=100)
    straight = trainer(tmp_path / "a", training)
    straight.run()
    stopped = trainer(tmp_path / "b", training)
    assert not stopped.run(on_step=stop_at(33, signal.SIGTERM))
    resumed = trainer(tmp_path / "b", training)
    assert resumed.run()
    one, other = state(straight), state(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_no_setting_has_the_name_of_another() -> None:
    from dataclasses import fields

    model = {field.name for field in fields(RIMConfig)}
    assert not model & {field.name for field in fields(TrainingConfig)}


@pytest.mark.parametrize("late", [0.0, 0.5, 1.0])
def test_the_loss_weighs_to_one_and_ignores_units(late: float) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(3, 8, 8, generator=generator)
    sigma = torch.tensor([0.1, 1.0, 10.0])[:, None, None]
    error = sigma * torch.ones(3, 8, 8)
    # Errors as large as the noise: each term is log(1 + floor), whatever the weights.
    value = loss([truth + error] * 4, truth, sigma, 2, late, 0.5)
    assert float(value) == pytest.approx(math.log(1.5), rel=1e-4)
    scaled = loss([100 * (truth + error)] * 4, 100 * truth, 100 * sigma, 2, late, 0.5)
    assert float(scaled) == pytest.approx(float(value), rel=1e-4)


def test_the_misfit_is_the_logarithm_of_chi2() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(3, 8, 8, generator=generator)
    likelihood = Gaussian(Identity((8, 8)), y, 0.5)
    estimate = (y + 1.0).requires_grad_()
    value = misfit([estimate] * 3, likelihood, 1.0, 0.5)
    assert float(value.detach()) == pytest.approx(math.log(4.5), rel=1e-5)
    value.backward()
    assert estimate.grad is not None and bool((estimate.grad > 0).all())


def test_the_learning_rate_rises_then_falls_to_a_two_hundredth(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    rates = []
    for run.iteration in range(7):
        rates.append(run._learning_rate())
    peak = TRAINING.learning_rate
    assert rates[0] == pytest.approx(peak / 2)
    assert max(rates) == pytest.approx(peak)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(0.005 * peak)


@pytest.mark.parametrize("factor", [1.0, 1j])
def test_block_means_are_held_to_account(factor: complex) -> None:
    # A constant error e counts n e in a mean of n x n pixels, whose own noise is n times less; of
    # the sides of blocks those count that fit, here 8 and 16.
    error, floor = 0.5, 0.1
    truth = torch.zeros(2, 16, 24) * factor
    pixel = math.log(error**2 + floor)
    block = sum(math.log((side * error) ** 2 + BLOCK_FLOOR) for side in (8, 16)) / 2
    value = loss([truth + error * factor], truth, torch.ones(2, 1, 1), 2, 0.0, floor, 0.3)
    assert float(value) == pytest.approx(pixel + 0.3 * block, rel=1e-5)
