"""The error that weights tell, through the doors: units, crops, residuals, sets, tiles, files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from torch import Tensor
from typer.testing import CliRunner

from rimaging import astro, image, mosaics, mri
from rimaging.cli import app
from rimaging.errors import OptionError
from rimaging.mosaic.sources import open_source
from rimaging.mosaic.tiles import Grid
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import save_weights

SKY = RIMConfig(steps=2, fine=4, coarse=4, chebyshev=True, error_features=4, error_residual=True)


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny weights that tell the error of an estimate, and another with its residual."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "telling.safetensors"
    save_weights(RIM(SKY), path, {"name": "telling"})
    return path


@pytest.fixture(scope="module")
def counts() -> Tensor:
    return torch.poisson(torch.full((32, 30), 400.0), generator=torch.Generator().manual_seed(0))


def told(*arguments: object, **options: object) -> Tensor:
    result = astro.deconvolve(*arguments, error_map="learned", **options)  # type: ignore[arg-type]
    assert result.provenance["error_map"] == {"learned": True}
    assert isinstance(result.uncertainty, Tensor)
    assert result.uncertainty.shape == result.image.shape
    return result.uncertainty


def test_the_sky_has_it_in_its_units(telling: Path, counts: Tensor) -> None:
    """Electrons per unit, level and margins are not in it; one with its residual is another."""
    given = {"weights": telling, "target": 2.0, "background": 100.0}
    photons = told(counts / 4, 2.5, gain=4.0, **given)
    electrons = told(counts, 2.5, gain=1.0, **given | {"background": 400.0})
    assert torch.allclose(4 * photons, electrons, rtol=1e-4)
    plain = told(counts, 2.5, noise=20.0, **given)
    scaled = told(counts / 8, 2.5, noise=2.5, **given | {"background": 12.5})
    assert torch.allclose(plain / 8, scaled, rtol=1e-4)
    with_residual = told(counts, 2.5, noise=20.0, add_residual=True, **given)
    assert not torch.allclose(with_residual, plain, rtol=0.01)
    told(counts, 2.5, noise=20.0, boundary="valid", **given)


def test_a_residual_brings_back_the_noise_of_its_pixel(
    telling: Path, counts: Tensor, tmp_path: Path
) -> None:
    """Learned where noise is the same everywhere, the error hardly knew of noise that is not."""
    given = {"weights": telling, "target": 2.0, "background": 400.0, "add_residual": True}
    noise = torch.full(counts.shape, 20.0)
    alike, one = (told(counts, 2.5, noise=level, **given) for level in (noise, 20.0))
    assert torch.allclose(alike, one, rtol=1e-4)
    noise[:, 15:], mask = 60.0, torch.ones(counts.shape)
    mask[3] = 0
    error = told(counts, 2.5, noise=noise, mask=mask, **given)
    assert bool((error >= 0.9 * noise)[mask > 0].all())
    plain = told(counts, 2.5, noise=noise, mask=mask, **given | {"add_residual": False})
    assert float(plain[:, 15:].min()) < 50 and not torch.allclose(error, plain, rtol=0.1)
    for name, values in {"sky": counts, "noise": noise, "mask": mask}.items():
        np.save(tmp_path / f"{name}.npy", values.numpy())
    sky = mosaics.Sky(
        image=tmp_path / "sky.npy",
        psf=2.5,
        noise=str(tmp_path / "noise.npy"),
        mask=str(tmp_path / "mask.npy"),
        error_map="learned",
        **given,  # type: ignore[arg-type]
    )
    recipe = mosaics.recipe(sky)
    (unit,) = recipe.grid
    process, read = recipe.task.build(), open_source(recipe.source).read
    found = process(read(unit.block), unit)["uncertainty"]  # type: ignore[call-overload]
    assert np.allclose(found[0], error.numpy(), rtol=1e-3)


def test_who_does_not_know_says_so(telling: Path, counts: Tensor, real_weights: Path) -> None:
    with pytest.raises(OptionError, match="richardson-lucy tells no error"):
        told(counts, 2.5, noise=20.0, method="richardson-lucy")
    with pytest.raises(OptionError, match="tells no error of its own"):
        told(counts, 2.5, noise=20.0, weights=real_weights)
    with pytest.raises(OptionError, match="'guessed'"):
        image.denoise(counts, 20.0, weights=telling, error_map="guessed")  # type: ignore[arg-type]
    lags = np.zeros((3, 3))
    lags[1] = [0.4, 1.0, 0.4]
    given = {"noise": 20.0, "noise_correlation": lags, "weights": telling, "target": 2.0}
    told(counts, 2.5, **given)
    with pytest.raises(OptionError, match="correlates"):
        told(counts, 2.5, add_residual=True, **given)


def test_photographs_have_it_in_their_range(telling: Path) -> None:
    picture = torch.rand(20, 24, generator=torch.Generator().manual_seed(0))
    one = image.denoise(picture, 0.1, weights=telling, method="rim", error_map="learned")
    bytes_ = image.denoise(
        255 * picture, 25.5, weights=telling, method="rim", error_map="learned"
    ).uncertainty
    assert torch.allclose(255 * one.uncertainty, bytes_, rtol=1e-4)  # type: ignore[operator, arg-type]
    assert "learned to tell" in "".join(str(part) for part in _page(one))


def _page(result: object) -> list[str]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return [result.report(Path(folder) / "page.html").read_text()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("sets", [1, 2])
def test_an_mr_image_has_it_of_all_its_sets(sets: int) -> None:
    torch.manual_seed(0)
    rim = RIM(RIMConfig(complex=True, steps=2, fine=4, coarse=4, error_features=4))
    generator = torch.Generator().manual_seed(1)
    kspace = torch.randn(2, 4, 16, 12, dtype=torch.complex64, generator=generator)
    maps = torch.randn(2, sets, 4, 16, 12, dtype=torch.complex64, generator=generator)
    mask = (torch.arange(12) % 3 > 0).float()
    maps = maps if sets == 2 else maps[:, 0]
    given = {"noise": 0.1, "weights": rim, "sets": sets, "error_map": "learned"}
    result = mri.reconstruct(kspace * mask, mask, maps, **given)  # type: ignore[arg-type]
    error = result.uncertainty
    assert isinstance(error, Tensor) and error.dtype == torch.float32
    assert error.shape == result.image.shape == (2, 16, 12) and bool((error > 0).all())
    with pytest.raises(OptionError, match="keeps its samples"):
        mri.reconstruct(kspace * mask, mask, maps, add_residual=True, **given)  # type: ignore[arg-type]


def test_of_combined_sets_it_is_the_error_of_their_root_sum_of_squares() -> None:
    from rimaging.mri.door import combine, learned_error

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 30, 30, dtype=torch.complex64, generator=generator) + 20
    e = 0.01 + 0.1 * torch.rand(2, 30, 30, generator=generator)
    draws = e * torch.randn(400, 2, 30, 30, dtype=torch.complex64, generator=generator) * 2**0.5
    spread = (combine(x + draws).abs() - combine(x).abs()).std(dim=0)
    found = learned_error(2, None)(x, lambda residual: e)
    assert torch.allclose(found, spread, rtol=0.2)
    assert float((found / spread).mean()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("counting", [{}, {"gain": 1.5, "read_noise": 3.0}])
def test_tile_by_tile_it_is_that_of_the_door(
    telling: Path, tmp_path: Path, counting: dict[str, float]
) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "sky.npy", random.poisson(50, (1, 24, 400)).astype(np.float32))
    sky = mosaics.Sky(
        image=tmp_path / "sky.npy",
        psf=2.0,
        target=1.2,
        weights=telling,
        tile=80,
        halo="exact",
        steps=1,
        noise=None if counting else 7.0,
        error_map="learned",
        **counting,  # type: ignore[arg-type]
    )
    for add_residual in (False, True):
        recipe = mosaics.recipe(replace(sky, add_residual=add_residual))
        assert recipe.task.planes == ("image", "uncertainty")
        process, read = recipe.task.build(), open_source(recipe.source).read
        (all_of_it,) = Grid(recipe.grid.shape, recipe.grid.shape, 0)
        whole = process(read(all_of_it.block), all_of_it)["uncertainty"]  # type: ignore[call-overload]
        for unit in recipe.grid:
            found = process(read(unit.block), unit)["uncertainty"]  # type: ignore[call-overload]
            assert np.allclose(found, whole[unit.core], rtol=1e-4)
    with pytest.raises(OptionError, match="give the noise"):
        unknown = {"noise": None, "gain": None, "read_noise": None}
        mosaics.recipe(replace(sky, add_residual=True, **unknown))  # type: ignore[arg-type]
    one = mosaics.recipe(replace(sky, tile=None, steps=None))
    (unit,) = one.grid
    found = one.task.build()(open_source(one.source).read(unit.block), unit)["uncertainty"]  # type: ignore[call-overload]
    data = torch.from_numpy(np.load(str(sky.image)))
    door = told(data, 2.0, noise=sky.noise, target=1.2, weights=telling, **counting)
    assert np.allclose(found, door, rtol=1e-3)


def test_the_command_line_writes_it_as_err(
    telling: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    fits.writeto("sky.fits", random.poisson(50, (48, 60)).astype(np.float32))
    given = ["deconvolve", "sky.fits", "--psf", "2.5", "--weights", str(telling)]

    def run(*options: str) -> str:
        result = CliRunner().invoke(app, [*given, "--overwrite", *options])
        assert result.exit_code == 0, result.output
        return result.output

    run("--error-map", "learned")
    with fits.open("sky_rim.fits") as hdus:
        door = np.array(hdus["ERR"].data)
        assert "as the weights tell" in str(hdus["ERR"].header["COMMENT"]) and (door > 0).all()
    assert json.loads(Path("sky_rim.json").read_text())["error_map"] == {"learned": True}
    run("--error-map", "learned", "--tile", "64")
    with fits.open("sky_rim.fits") as hdus:
        assert np.allclose(hdus["ERR"].data, door, rtol=1e-3)
    for wrong, words in (("some", "give 8"), ("-3", "give 8"), ("8", "--error-map learned")):
        result = CliRunner().invoke(app, [*given, "--overwrite", "--error-map", wrong, "--tile=64"])
        assert result.exit_code == 2 and words in result.stderr.replace("\n", " "), result.output
