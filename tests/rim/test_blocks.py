"""Tests for rimaging.rim.blocks: a network block by block answers as it does in one piece."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rimaging.rim import blocks
from rimaging.rim.cell import CellConfig, recurrent_cell, recurrent_unit

SMALL = 2**14
"""Bytes of a block in these tests."""

CELLS = [
    CellConfig(inputs=3, outputs=2, fine=8, atrous=True, depth=2),
    CellConfig(inputs=3, outputs=2, fine=8, coarse=4),
    CellConfig(inputs=3, outputs=1, fine=8, coarse=4, unit="gru", depth=1),
]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Small blocks, and a list for the sizes of those that were computed."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", SMALL)
    monkeypatch.setattr(blocks, "WHOLE_BYTES", 2 * SMALL)
    return []


@pytest.mark.parametrize("config", CELLS)
@pytest.mark.parametrize("size", [(1, 12, 248), (1, 148, 160), (3, 148, 72), (7, 16, 20)])
@pytest.mark.parametrize("narrow", [False, True])
def test_blocks_answer_as_the_whole(
    config: CellConfig, size: tuple[int, int, int], narrow: bool, seen: list[tuple[int, ...]]
) -> None:
    torch.manual_seed(0)
    cell = recurrent_cell(config)
    batch, height, width = size
    inputs = torch.randn(batch, config.inputs, height, width)
    dtype = torch.bfloat16 if narrow else None
    state = tuple(torch.randn_like(m) for m in cell.initial_state(inputs, dtype))

    def noted(planes: Tensor, memory: blocks.State) -> tuple[Tensor, blocks.State]:
        seen.append(tuple(planes.shape))
        found: tuple[Tensor, blocks.State] = cell(planes, memory)
        return found

    sizes = {"reach": cell.reach, "stride": cell.stride, "features": cell.widest}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        whole, memory = cell(inputs, state)
        found, renewed = blocks.in_blocks(noted, inputs, state, **sizes)
    bytes_of_a_layer = cell.widest * (2 if narrow else 4) * batch * height * width
    assert (len(seen) > 1) == (bytes_of_a_layer > 2 * SMALL)
    # to rounding: which way a convolution is computed depends on its size
    tolerance = 0.02 if narrow else 1e-5
    for one, other in ((whole, found), *zip(memory, renewed, strict=True)):
        assert one.shape == other.shape and one.dtype == other.dtype
        assert torch.allclose(one.float(), other.float(), atol=tolerance, rtol=tolerance)


def test_small_images_of_a_batch_stay_together(seen: list[tuple[int, ...]]) -> None:
    inputs = torch.randn(20, 1, 16, 16)

    def noted(planes: Tensor, memory: blocks.State) -> tuple[Tensor, blocks.State]:
        seen.append(tuple(planes.shape))
        return 2 * planes, memory

    with torch.inference_mode():
        found, _ = blocks.in_blocks(noted, inputs, (), reach=4, stride=1, features=8)
    assert seen == [(4, 1, 16, 16)] * 5 and torch.equal(found, 2 * inputs)


def test_gradients_see_one_piece(seen: list[tuple[int, ...]]) -> None:
    inputs = torch.randn(1, 1, 200, 200, requires_grad=True)

    def noted(planes: Tensor, memory: blocks.State) -> tuple[Tensor, blocks.State]:
        seen.append(tuple(planes.shape))
        return 2 * planes, memory

    found, _ = blocks.in_blocks(noted, inputs, (), reach=4, stride=1, features=8)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert seen == [(1, 1, 200, 200)] and torch.equal(inputs.grad, torch.full_like(inputs, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["minimal", "gru"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_strips_answer_as_the_whole(
    kind: str, kernel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    unit = recurrent_unit(kind, 8, kernel)
    features, state = torch.randn(2, 2, 8, 37, 20)
    calls = []
    update = unit._update
    monkeypatch.setattr(unit, "_update", lambda *given: calls.append(given) or update(*given))
    whole = unit(features, state)
    monkeypatch.setattr(blocks, "STRIP_BYTES", 8 * 20 * 4 * 5)
    assert torch.equal(unit(features, state), whole)  # gradients need the parts
    before = len(calls)
    with torch.inference_mode():
        found = unit(features, state)
    pointwise = kind == "gru" or kernel == 1
    assert len(calls) - before == (8 if pointwise else 1)
    assert torch.allclose(found, whole, atol=1e-6)


@pytest.mark.parametrize("size", [4, 40, 100, 1000])
@pytest.mark.parametrize("side", [8, 33, 2000])
def test_cores_cover_an_axis_once(size: int, side: int) -> None:
    cores, around = zip(*blocks.spans(size, side, 8, 4), strict=True)
    assert [i for core in cores for i in range(core.start, core.stop)] == list(range(size))
    for core, block in zip(cores, around, strict=True):
        assert core.start % 4 == 0 and block.start == max(0, core.start - 8)
        assert block.stop == min(size, core.stop + 8)
        assert core.stop - core.start <= max(side, 4) + 3
