"""Laws of simulated blur: flux, one sign, determinism, and words that do not exist."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.simulate.kernels import blur_kernels
from rimaging.errors import CardError


@given(st.sampled_from(["gaussian", "motion"]), st.integers(2, 13), st.integers(0, 99))
def test_kernels_conserve_flux_and_follow_the_generator(word: str, half: int, seed: int) -> None:
    def drawn() -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return blur_kernels(word, {"uniform": [0.6, 3.0]}, generator, 2, 2 * half + 1)

    kernels = drawn()
    assert kernels.shape == (2, 2 * half + 1, 2 * half + 1)
    assert torch.allclose(kernels.sum((-2, -1)), torch.ones(2), atol=1e-5)
    assert bool((kernels >= 0).all()) and torch.equal(kernels, drawn())
    assert not torch.equal(kernels[0], kernels[1])


def test_shake_is_a_thin_trace() -> None:
    kernels = blur_kernels("motion", 1.0, torch.Generator().manual_seed(0), 20, 25)
    # Most of the light of a trace lies on few of the 625 pixels; of a wide Gaussian on many.
    light = kernels.flatten(1).sort(descending=True).values.cumsum(1)
    assert float(light[:, 150].median()) > 0.95


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(CardError, match="gaussian or motion"):
        blur_kernels("star", 1.0, torch.Generator(), 1, 9)
