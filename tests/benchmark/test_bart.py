"""The bridge to BART: files, conventions of its transforms, and agreement of its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.benchmark import bart
from rimaging.errors import OptionError, RimagingError, ShapeError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.solvers.cg_sense import cg_sense

needs_bart = pytest.mark.skipif(not bart.available(), reason="no program called bart on PATH")


def scan(*size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image and four smooth maps of it."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij")
    maps = torch.stack(
        [
            torch.polar(torch.exp(-((x - a) ** 2) - (y - b) ** 2), a * x + 2 * b * y)
            for a, b in ((-1, 0), (1, 0), (0, 1), (0, -1))
        ]
    )
    maps = maps / torch.linalg.vector_norm(maps, dim=0)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, dtype=torch.complex64, generator=generator), maps


def test_files_come_back_as_they_went(tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 5 * 1, dtype=np.complex64).reshape(2, 3, 1, 5) * 1j
    bart.write_cfl(tmp_path / "a", array)
    np.testing.assert_array_equal(bart.read_cfl(tmp_path / "a"), array)
    header = (tmp_path / "a.hdr").read_text().splitlines()
    assert header[1].split()[:4] == ["5", "1", "3", "2"]


@needs_bart
@pytest.mark.parametrize("size", [(16, 24), (18, 16), (22, 26), (15, 16), (16, 21), (17, 23)])
def test_a_full_scan_gives_the_image_back_in_place_and_phase(size: tuple[int, int]) -> None:
    image, maps = scan(*size)
    kspace = CartesianMRI(maps).forward(image)
    full = torch.ones(size)
    found = bart.pics(kspace, full, maps, penalty="l2", lamda=1e-7, iterations=30)
    assert (found - image).norm() < 1e-4 * image.norm()


@needs_bart
def test_agrees_with_cg_sense_within_two_sets() -> None:
    image, maps = scan(20, 18)
    weights = torch.linspace(0.2, 0.8, 18).sqrt()
    sets = torch.stack([weights * maps, (1 - weights**2).sqrt() * maps.roll(1, 0)])
    images = torch.stack([image, image.flip(0)])
    mask = (torch.rand(20, 18, generator=torch.Generator().manual_seed(1)) < 0.6).float()
    kspace = CartesianMRI(sets, mask, sets=True).forward(images)
    theirs = bart.pics(kspace, mask, sets, penalty="l2", lamda=0.05, iterations=60)
    ours = cg_sense(kspace, mask, sets, damping=0.05, iterations=60, sets=True)
    assert (theirs - ours).norm() < 1e-3 * ours.norm()


@needs_bart
@pytest.mark.parametrize("penalty", ["wavelet", "tv"])
def test_penalties_do_not_depend_on_the_scale_of_the_data(penalty: bart.Penalty) -> None:
    image, maps = scan(32, 32)
    mask = (torch.rand(32, 32, generator=torch.Generator().manual_seed(1)) < 0.6).float()
    kspace = CartesianMRI(maps, mask).forward(image)
    once, louder = (
        bart.pics(c * kspace, mask, maps, penalty=penalty, lamda=0.02, iterations=20)
        for c in (1, 1000)
    )
    assert (louder - 1000 * once).norm() < 1e-3 * louder.norm()
    assert (once - image).norm() < image.norm()


@needs_bart
def test_maps_explain_the_coils() -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 40), indexing="ij")
    image = (x**2 + y**2 < 0.6).to(torch.complex64) * (1 + 0.5 * torch.cos(9 * x))
    _, truth = scan(48, 40)
    coils = truth * image
    maps = bart.ecalib(CartesianMRI(truth).forward(image), calibration=20)
    assert maps.shape == (1, 4, 48, 40)
    projected = maps[0] * (maps[0].conj() * coils).sum(0)
    assert (projected - coils).norm() < 0.03 * coils.norm()


@needs_bart
def test_says_what_bart_said() -> None:
    image, maps = scan(16, 16)
    kspace = CartesianMRI(maps).forward(image)
    with pytest.raises(RimagingError, match="bart ecalib"):
        bart.ecalib(kspace[:, :4, :4])


def test_refuses_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    image, maps = scan(16, 16)
    with pytest.raises(ShapeError, match="loop over the batch"):
        bart.pics(maps[None], image.real, maps, penalty="l2", lamda=1)
    with pytest.raises(ShapeError, match="same size"):
        bart.pics(maps, image.real[:-1], maps, penalty="l2", lamda=1)
    with pytest.raises(OptionError, match="wavelet"):
        bart.pics(maps, image.real, maps, penalty="l3", lamda=1)  # type: ignore[arg-type]
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RimagingError, match="apt install bart"):
        bart.version()
