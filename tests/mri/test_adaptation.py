"""Weights fitted to a scan: by the door, by the command line, for scans to come."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from rimaging import mri
from rimaging.cli import app
from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, OptionError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.fourier import centred_fft
from rimaging.operators.noncartesian import NonCartesianMRI
from rimaging.operators.trajectories import radial
from rimaging.rim.weights import load_weights

SIZE = 48
SIGMA = 0.01


def coil_maps() -> torch.Tensor:
    axis = torch.linspace(-1, 1, SIZE)
    left = torch.exp(-((axis + 1) ** 2) / 2).expand(SIZE, SIZE)
    maps = torch.stack((left, left.flip(-1))).to(torch.complex64)
    return maps / maps.abs().square().sum(0).sqrt()


def scene() -> torch.Tensor:
    axis = torch.linspace(-1, 1, SIZE)
    return (torch.hypot(axis[:, None], axis) < 0.7).to(torch.complex64)


def lines() -> torch.Tensor:
    mask = torch.zeros(SIZE)
    mask[::3] = 1
    mask[12:36] = 1
    return mask


def noise(shape: torch.Size) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return SIGMA * torch.view_as_complex(torch.randn(*shape, 2, generator=generator))


def scan(slices: int = 1) -> Measurement:
    clean = CartesianMRI(coil_maps(), lines().expand(SIZE, SIZE))(scene())
    data = torch.stack([clean + noise(clean.shape) * (lines() > 0)] * slices)
    return Measurement(
        kind="kspace", data=data, mask=lines(), maps=coil_maps(), noise=SIGMA
    ).completed()


def test_the_door_adapts_and_says_so(complex_weights: Path) -> None:
    plain = mri.reconstruct(scan(), weights=complex_weights)
    result = mri.reconstruct(scan(), weights=complex_weights, adapt=2)
    again = mri.reconstruct(scan(), weights=complex_weights, adapt=2)
    assert result.provenance["adapted"] == 2 and "adapted" not in plain.provenance
    assert result.provenance["weights"] == plain.provenance["weights"]
    assert not torch.equal(result.image, plain.image)
    assert torch.equal(result.image, again.image)


def test_weights_of_one_scan_serve_the_next(complex_weights: Path) -> None:
    rim = mri.adapt([scan(2), scan()], complex_weights, iterations=2)
    assert mri.reconstruct(scan(3), weights=rim).image.shape == (3, SIZE, SIZE)
    same = mri.reconstruct(scan(), weights=mri.adapt(scan(), complex_weights, iterations=2))
    assert torch.equal(same.image, mri.reconstruct(scan(), weights=complex_weights, adapt=2).image)


def test_spokes_are_adapted_to_as_well(complex_weights: Path) -> None:
    trajectory = radial((SIZE, SIZE), 16, SIZE)
    clean = NonCartesianMRI(coil_maps(), trajectory)(scene())
    result = mri.reconstruct(
        clean + noise(clean.shape),
        maps=coil_maps(),
        trajectory=trajectory,
        image_shape=(SIZE, SIZE),
        weights=complex_weights,
        adapt=2,
    )
    assert result.provenance["adapted"] == 2


def test_a_learned_network_gets_better_on_the_scan_it_adapts_to() -> None:
    """The shipped weights, told of coils that are not there: the samples left out say otherwise."""
    wrong = coil_maps().flip(0) * 0.3 + coil_maps() * 0.7
    given = {"maps": wrong / wrong.abs().square().sum(0).sqrt(), "noise": SIGMA}
    kspace = scan().data[0]
    full = centred_fft(coil_maps() * scene(), (-2, -1))

    def unseen(adapt: int | None) -> float:
        x = mri.reconstruct(kspace, lines(), **given, adapt=adapt).image
        found = centred_fft(given["maps"] * x, (-2, -1))
        return float((found - full)[..., lines() == 0].abs().square().mean().sqrt())

    assert unseen(12) < unseen(None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adapt": 0}, "at least one"),
        ({"adapt": 5, "method": "tv"}, "learns nothing"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        mri.reconstruct(scan(), **options)  # type: ignore[arg-type]


def test_nothing_to_adapt_to_is_refused() -> None:
    with pytest.raises(OptionError, match="no scan"):
        mri.adapt([])
    middle = torch.zeros(SIZE, SIZE)
    middle[16:32, 16:32] = 1
    data = noise(torch.Size((2, SIZE, SIZE))) * middle
    small = Measurement(kind="kspace", data=data, mask=middle, maps=coil_maps(), noise=SIGMA)
    with pytest.raises(DataError, match="middle"):
        mri.adapt(small)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_the_command_line_writes_weights_that_recon_takes(
    tmp_path: Path, complex_weights: Path
) -> None:
    source, out, image = (tmp_path / name for name in ("Doe.npz", "ours.safetensors", "x.npy"))
    kspace = scan().data[0].numpy()
    np.savez(source, kspace=kspace, maps=coil_maps().numpy(), mask=lines().numpy(), noise=SIGMA)
    asked = ("adapt", source, "-o", out, "--weights", complex_weights, "--iterations", 2)
    assert run(*asked)[0] == 0
    card = load_weights(out)[1]
    assert card["adapted"]["iterations"] == 2 and card["adapted"]["scans"] == 1
    assert "Doe" not in json.dumps(card)
    code, said = run(*asked)
    assert code != 0 and "exists" in said
    code, said = run("adapt", source, "-o", tmp_path / "ours.pt")
    assert code != 0 and "no name for weights" in said
    code, said = run("adapt", source, "-o", tmp_path / "nowhere" / "ours.safetensors")
    assert code != 0 and "create it first" in said
    assert run("recon", source, "-o", image, "--weights", out)[0] == 0
    assert run("recon", source, "-o", tmp_path / "y.npy", "--weights", complex_weights,
               "--adapt", 2)[0] == 0  # fmt: skip
    assert np.array_equal(np.load(image), np.load(tmp_path / "y.npy"))
    code, said = run("recon", source, "-o", tmp_path / "z.npy", "--adapt", 2, "--workers", 1)
    assert code != 0 and "rimaging adapt" in said
