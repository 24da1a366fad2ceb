from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.datasets.bart import read_cfl, write_cfl
from rimaging.datasets.bart_trajectory import read_cfl_along, read_cfl_trajectory
from rimaging.errors import FormatError, ShapeError
from rimaging.operators.noncartesian import NonCartesianMRI


def along(*shape: int, axes: int = 2) -> np.ndarray:
    """BART's (..., shot, sample, 3): kx, ky, kz within half of 32 pixels."""
    values = np.random.default_rng(0).uniform(-15, 15, (*shape, 3)).astype(np.float32)
    values[..., axes:] = 0
    return values


def samples(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def test_axes_and_order_are_turned_round(tmp_path: Path) -> None:
    path, data = along(5, 30), samples(4, 5, 30)
    write_cfl(tmp_path / "t", path)
    write_cfl(tmp_path / "k", data[..., None])
    m = read_cfl_along(tmp_path / "k", tmp_path / "t.cfl", image_shape=(32, 30))
    assert np.array_equal(m.data.numpy(), data)
    assert m.trajectory is not None
    assert np.array_equal(m.trajectory.numpy(), path[..., 1::-1])
    assert m.matrix == (32, 30)
    write_cfl(tmp_path / "solid", along(5, 30, axes=3))
    assert np.array_equal(
        read_cfl_trajectory(tmp_path / "solid").numpy(), along(5, 30, axes=3)[..., ::-1]
    )


def test_frames_are_axes_in_front(tmp_path: Path) -> None:
    path = along(6, 1, 1, 1, 1, 1, 1, 1, 5, 30)  # time is dimension 10, coils 3
    write_cfl(tmp_path / "t", path)
    write_cfl(tmp_path / "k", samples(6, 1, 1, 1, 1, 1, 1, 4, 5, 30, 1))
    m = read_cfl_along(tmp_path / "k", tmp_path / "t", image_shape=(32, 32))
    assert m.data.shape == (6, 4, 5, 30)
    assert m.trajectory is not None and m.trajectory.shape == (6, 5, 30, 2)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    write_cfl(tmp_path / "t", along(5, 30))
    write_cfl(tmp_path / "k", samples(4, 1, 20, 18))
    with pytest.raises(FormatError, match="expected a trajectory"):
        read_cfl_trajectory(tmp_path / "k")
    with pytest.raises(FormatError, match="as bart nufft has them"):
        read_cfl_along(tmp_path / "k", tmp_path / "t")
    write_cfl(tmp_path / "other", samples(4, 6, 30, 1))
    with pytest.raises(ShapeError, match="trajectory"):
        read_cfl_along(tmp_path / "other", tmp_path / "t", image_shape=(32, 32))


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_barts_nufft_is_ours(tmp_path: Path) -> None:
    """Its samples of an image without symmetry are our operator's, but for one factor."""
    picture = np.zeros((32, 32), np.complex64)
    picture[6:14, 10:26], picture[18:24, 8:12] = 1, 0.5 + 0.5j
    write_cfl(tmp_path / "x", picture)
    commands = ("traj -r -x 32 -y 12 t", "nufft t x k")
    for command in commands:
        subprocess.run(["bart", *command.split()], check=True, cwd=tmp_path, capture_output=True)
    m = read_cfl_along(tmp_path / "k", tmp_path / "t", image_shape=(32, 32))
    assert np.array_equal(read_cfl(tmp_path / "x")[0], picture)
    assert m.trajectory is not None
    operator = NonCartesianMRI(torch.ones(1, 32, 32, dtype=torch.complex64), m.trajectory)
    ours = operator(torch.from_numpy(picture))
    factor = torch.vdot(ours.flatten(), m.data.flatten()) / ours.norm() ** 2
    assert float((m.data - factor * ours).norm() / m.data.norm()) < 0.01
    assert float(factor.abs()) == pytest.approx(1, rel=0.01)
    assert abs(float(factor.angle())) < 0.01
