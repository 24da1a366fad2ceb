"""The loss on what one more star does to an estimate."""

from __future__ import annotations

import pytest
import torch

from rimaging.rim.response import SOFT, gained, in_pairs, response_error


def pairs() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    sky = torch.rand(3, 40, 36, generator=generator, dtype=torch.float64)
    line = torch.arange(40.0, dtype=torch.float64)
    star = torch.exp(-((line[:, None] - 17.3) ** 2 + (line[None, :36] - 20.8) ** 2) / 2)
    brightness = torch.tensor([5.0, 50.0, 500.0], dtype=torch.float64)[:, None, None]
    return torch.stack((sky, sky + brightness * star))


def test_the_truth_has_no_error_and_a_sky_that_both_share_does_not_count() -> None:
    truth = pairs()
    assert torch.equal(response_error(truth, truth), torch.zeros(3, dtype=torch.float64))
    other = truth + pairs()[0].flip(-1)
    assert response_error(other, truth).max() < 1e-12


@pytest.mark.parametrize("share", [-0.3, -0.01, 0.002, 0.05])
def test_light_that_is_lost_or_won_is_told_in_shares_of_the_star(share: float) -> None:
    truth = pairs()
    estimate = torch.stack((truth[0], truth[1] + share * (truth[1] - truth[0])))
    expected = torch.full((3,), (share**2 + SOFT**2) ** 0.5 - SOFT, dtype=torch.float64)
    assert torch.allclose(response_error(estimate, truth), expected)
    assert torch.allclose(
        gained(estimate, truth, [2.0, 9.0]), 1 + torch.full((3, 2), share).double()
    )


def test_what_is_taken_from_the_surroundings_counts() -> None:
    truth = pairs()
    estimate = truth.clone()
    estimate[1, :, 17:19, 25:27] -= 0.05 * truth[1].amax(dim=(-2, -1))[:, None, None]
    assert (response_error(estimate, truth) > 0).all()


def test_only_batches_in_pairs_are_taken_for_pairs() -> None:
    assert in_pairs(pairs(), 2)
    assert not in_pairs(pairs()[0], 2) and not in_pairs(pairs().movedim(0, 1), 2)
