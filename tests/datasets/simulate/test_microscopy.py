"""Real pairs: the truth is fitted, the noise map is honest, no field is in two splits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.datasets.data_card import load_data_card
from rimaging.datasets.simulate.microscopy import Microscopy, fit, pairs
from rimaging.errors import CardError


def test_the_noise_map_explains_the_difference(data_root: Path) -> None:
    for pair in pairs(data_root, "test", 6):
        chi2 = ((pair.noisy - pair.clean) / pair.sigma).square().mean()
        assert 0.7 < float(chi2) < 1.4
        assert float(pair.noisy.mean()) == pytest.approx(float(pair.clean.mean()), abs=1e-4)


def test_patches_are_cut_from_both_alike(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rimaging.datasets.simulate import microscopy

    monkeypatch.setattr(microscopy, "pairs", lambda root, split: pairs(root, "test", 6))
    sampler = Microscopy({}, data_root)
    likelihood, truth = sampler(torch.Generator().manual_seed(0), 3, 64)
    assert truth.shape == (3, 64, 64)
    assert torch.allclose(likelihood.chi2(truth), torch.ones(3), atol=0.5)
    with pytest.raises(CardError, match="takes none"):
        Microscopy({"sigma": 1.0}, data_root)


def test_a_fit_undoes_gain_and_offset() -> None:
    x = torch.rand(9, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(fit(x, 3 * x - 2), 3 * x - 2, atol=1e-5)


def test_fields_do_not_leak() -> None:
    card = load_data_card("w2s")
    fields = [
        {Path(i.path).name[:3] for i in card.items(s)} for s in ("train", "validation", "test")
    ]  # type: ignore[arg-type]
    assert not (fields[0] & fields[1] or fields[0] & fields[2] or fields[1] & fields[2])
