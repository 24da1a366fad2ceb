"""The test photographs: BSD68, Set12, BSD100 in gray, luma or colour, white at 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rimaging.datasets.picture import read_picture
from rimaging.errors import FormatError


def gray_set(data: Path, name: str, limit: int | None = None) -> list[Tensor]:
    """The first pictures ``(y, x)`` of ``natural/<name>``; FormatError where there are none."""
    files = sorted((data / "natural" / name).glob("*.png"))[:limit]
    if not files:
        raise FormatError(f"no images in natural/{name} below the root of the data: check it")
    return [read_picture(file).data.squeeze(0) for file in files]


def colour_set(data: Path, limit: int | None = None) -> list[Tensor]:
    """The first of the 68 pictures ``(3, y, x)`` of CBSD68."""
    ids = [str(i) for i in mapping(data)["cbsd68_ids"]][:limit]
    return [read_picture(data / "natural" / "bsds300_test" / f"{i}.jpg").data for i in ids]


def mapping(data: Path) -> dict[str, Any]:
    """Which file of one test set is which of another."""
    file = data / "natural" / "mapping.json"
    if not file.is_file():
        raise FormatError("no natural/mapping.json below the root of the data: check it")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def noise(shape: tuple[int, ...] | torch.Size, seed: int) -> Tensor:
    """Unit normal numbers, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
