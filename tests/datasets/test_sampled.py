from __future__ import annotations

import pytest
import torch

from rimaging.datasets.sampled import find_sampled


def kspace(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((3, 48, 40), generator=generator, dtype=torch.complex64)


@pytest.mark.parametrize("pattern", ["points", "columns", "rows", "cropped", "full"])
def test_a_pattern_is_found_again(pattern: str) -> None:
    y, x = torch.meshgrid(torch.arange(48), torch.arange(40), indexing="ij")
    masks = {
        "points": torch.rand((48, 40), generator=torch.Generator().manual_seed(1)) < 0.3,
        "columns": x % 4 == 0,
        "rows": y % 3 == 0,
        "cropped": (x > 5) & (y < 44),
        "full": x >= 0,
    }
    mask = masks[pattern].float()
    found, notes = find_sampled(kspace() * mask, None)
    assert torch.equal(found, mask)
    assert f"{float(mask.mean()):.1%}" in notes[0]


def test_a_mask_that_is_given_loses_its_padding_only() -> None:
    data = kspace()
    data[..., :4] = 0
    data[:, 7, 9] = 0
    mask, notes = find_sampled(data, torch.ones(48, 40))
    assert torch.equal(mask, (torch.arange(40) >= 4).float().expand(48, 40))
    assert notes
    assert find_sampled(data, mask) == (mask, [])


def test_a_coil_without_signal_does_not_matter() -> None:
    data = kspace()
    data[1] = 0
    assert bool(find_sampled(data, None)[0].all())
