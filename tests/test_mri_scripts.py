"""docs/mri-scripts.md: our calls in its tables run as written, theirs exist as named."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from rimaging import mri
from rimaging.datasets.bart import write_cfl
from rimaging.operators.fourier import centred_fft
from rimaging.operators.trajectories import radial

PAGE = Path(__file__).resolve().parents[1] / "docs" / "mri-scripts.md"
TABLES = "## Their call beside ours"


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def section() -> str:
    return page().partition(TABLES)[2].partition("\n## ")[0]


def calls() -> list[str]:
    """Every piece of Python on the page that names us or sigpy."""
    blocks = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)
    lines = [line.partition("=")[2] for block in blocks for line in block.splitlines()]
    pieces = [line.partition("#")[0].strip() for line in lines]
    pieces += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page(), flags=re.DOTALL))
    return sorted({p for p in pieces if re.match(r"(rimaging|sigpy)\.[a-z]", p)})


def ours() -> list[str]:
    """What the last column of the tables shows, row by row."""
    rows = [line for line in section().splitlines() if line.startswith("|")]
    cells = [row.strip("|").rsplit("|", 1)[-1] for row in rows]
    pieces = [piece for cell in cells for piece in re.findall(r"`([^`]+)`", cell)]
    return [piece for piece in dict.fromkeys(pieces) if "(" in piece]


def resolve(name: str) -> Any:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute)
        return found
    raise AttributeError(name)


@pytest.mark.parametrize("piece", calls())
def test_a_call_on_the_page_exists_and_takes_its_arguments(piece: str) -> None:
    node: ast.expr = ast.parse(piece, mode="eval").body
    # of `f(x).run()` and `f(x).image` it is f that counts
    while isinstance(node, ast.Attribute | ast.Call) and "(" in ast.unparse(node):
        inner = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Call) and "(" not in ast.unparse(inner):
            break
        node = inner
    if not isinstance(node, ast.Call):
        resolve(ast.unparse(node))
        return
    function: Callable[..., Any] = resolve(ast.unparse(node.func))
    named = {word.arg: None for word in node.keywords if word.arg is not None}
    inspect.signature(function).bind(*node.args, **named)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page's own imports and names, with a small scan behind them."""
    torch.manual_seed(0)
    y, x = 48, 40
    axes = torch.linspace(-1, 1, y)[:, None], torch.linspace(-1, 1, x)
    truth = ((axes[0] ** 2 + axes[1] ** 2) < 0.6).float()[None]
    angles = torch.arange(9) * 2 * torch.pi / 9
    distance = [(axes[0] - a.sin()) ** 2 + (axes[1] - a.cos()) ** 2 for a in angles]
    mps = torch.stack([torch.exp(-d / 2 + 1j * a) for d, a in zip(distance, angles, strict=True)])
    mps = (mps / mps.abs().square().sum(0).sqrt()).to(torch.complex64)
    images = mps * truth
    mask = torch.zeros(x)
    mask[::2] = mask[x // 2 - 12 : x // 2 + 12] = 1
    full = centred_fft(images)
    full = full + 0.01 * torch.randn_like(full)
    ksp = full * mask
    folder = tmp_path_factory.mktemp("page")
    with h5py.File(folder / "file.h5", "w") as file:
        file["kspace"] = full[None].numpy()
    with h5py.File(folder / "scan.h5", "w") as file:
        file["kspace"] = ksp[None].numpy()
    write_cfl(folder / "ksp.cfl", ksp[:, None])
    (folder / "reconstructions").mkdir()
    found: dict[str, Any] = {"folder": folder, "y": y, "x": x, "ksp": ksp, "mps": mps}
    found |= {"images": images, "mask": mask, "noise": torch.randn(9, 99, dtype=torch.complex64)}
    found |= {"coord": radial((y, x), 34), "film": torch.stack([ksp, ksp])}
    found |= {"along": torch.randn(9, *radial((y, x), 34).shape[:-1], dtype=torch.complex64)}
    solid = centred_fft(torch.stack([images] * 8, 1), (-3, -2, -1))
    found["solid"] = (solid + 0.01 * torch.randn_like(solid)) * mask
    found["partial"] = full * (torch.arange(x) > x // 4)
    found |= {"truth": truth.numpy(), "image": 0.9 * truth.numpy()}
    found["scan"] = mri.reconstruct(ksp[None], method="zero-filled")
    (block,) = re.findall(r"```python\n(.*?)```", section(), re.DOTALL)
    exec(block, found)
    return found


@pytest.mark.parametrize("piece", ours())
def test_our_call_runs_as_written(
    piece: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(names["folder"])
    exec(piece, names)


def test_the_tables_are_read() -> None:
    assert len(calls()) > 25
    assert len(ours()) > 35
