"""A sky in tiles is the sky as a whole: PSFs that vary, photons, maps, small channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging import astro, mosaics
from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.mosaic.folder import Recipe
from rimaging.mosaic.plan import Plan
from rimaging.mosaic.sources import open_source
from rimaging.mosaic.tiles import Grid, Unit

Field = Callable[[str], VaryingPsf]


def whole(recipe: Recipe) -> np.ndarray:
    """What the task of a run gives when it sees everything at once."""
    return done(replace(recipe, grid=Grid(recipe.grid.shape, recipe.grid.shape, 0)))


def done(recipe: Recipe) -> np.ndarray:
    """Every unit of a run, and that none but the whole saw the whole."""
    image = np.full(recipe.grid.shape, np.nan, np.float32)
    process, read = recipe.task.build(), open_source(recipe.source).read
    for unit in recipe.grid:
        image[unit.core] = process(read(unit.block), unit)["image"]  # type: ignore[call-overload]
        assert len(recipe.grid) == 1 or unit.block_shape[2] < recipe.grid.shape[2]
    return image


@pytest.fixture
def sky(stars: np.ndarray, tmp_path: Path, real_weights: Path) -> mosaics.Sky:
    """A strip of stars on a sky of 50, in tiles that see a third of it."""
    stars[0, 10:13, 40:42] = np.nan
    np.save(tmp_path / "sky.npy", stars + 50)
    return mosaics.Sky(
        image=tmp_path / "sky.npy",
        psf=2.0,
        target=1.2,
        weights=real_weights,
        tile=80,
        halo="exact",
        steps=1,
    )


@pytest.mark.parametrize("kind", ["nodes", "polynomial"])
def test_with_a_psf_that_varies_tiles_equal_the_whole_on_every_grid(
    kind: str, sky: mosaics.Sky, field: Field
) -> None:
    sky = replace(sky, psf=field(kind))
    recipe = mosaics.recipe(sky)
    expected, found = whole(recipe), done(recipe)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-4)
    other = done(mosaics.recipe(replace(sky, tile=56)))
    assert np.allclose(found, other, rtol=1e-5, atol=1e-4)
    # and the place counts: the same model elsewhere in the image is another one
    elsewhere = replace(sky, psf=field(kind).moved((0, 90)), tile=400)
    assert np.abs(whole(mosaics.recipe(elsewhere)) - found).max() > 0.1


def test_a_run_knows_its_model_and_plans_for_its_terms(sky: mosaics.Sky, field: Field) -> None:
    recipes = [
        mosaics.recipe(replace(sky, psf=psf, tile=200))
        for psf in (field("polynomial"), field("polynomial").moved((0, 1)), 2.4)
    ]
    prints = {recipe.fingerprint for recipe in recipes}
    asked = {str(recipe.asked["psf"]) for recipe in recipes}
    assert len(prints) == 3 and len(asked) == 3
    assert (
        recipes[0].fingerprint
        == mosaics.recipe(replace(sky, psf=field("polynomial"), tile=200)).fingerprint
    )
    varying, _, fixed = (Plan(recipe, 1, 1) for recipe in recipes)
    pixels = 3 * 10 * 4 * np.prod(recipes[0].grid.largest_block[1:])
    assert varying.process_bytes - fixed.process_bytes >= 0.9 * pixels


@pytest.mark.parametrize("psf", ["nodes", 2.0])
def test_a_channel_that_fits_a_tile_is_that_of_the_door(
    psf: str | float, sky: mosaics.Sky, field: Field
) -> None:
    sky = replace(sky, psf=field(psf) if isinstance(psf, str) else psf, tile=None, steps=None)
    recipe = mosaics.recipe(sky)
    assert len(recipe.grid) == 1 and recipe.task.settings["scale"] is None
    door = astro.deconvolve(np.load(str(sky.image)), sky.psf, target=1.2, weights=sky.weights)
    assert np.allclose(done(recipe), door.image, rtol=1e-5, atol=2e-4)


def test_photons_and_full_pixels_are_those_of_the_door(sky: mosaics.Sky) -> None:
    counts = {"gain": 1.5, "read_noise": 3.0, "saturation": 120.0}
    sky = replace(sky, tile=None, steps=None, **counts)  # type: ignore[arg-type]
    door = astro.deconvolve(
        np.load(str(sky.image)),
        sky.psf,
        target=1.2,
        weights=sky.weights,
        **counts,  # type: ignore[arg-type]
    )
    assert np.allclose(done(mosaics.recipe(sky)), door.image, rtol=1e-5, atol=1e-3)
    tiled = mosaics.recipe(replace(sky, tile=80, steps=1))
    assert np.allclose(done(tiled), whole(tiled), rtol=1e-5, atol=1e-3)
    for wrong, words in (({"noise": 1.0}, "twice"), ({"gain": None}, "read_noise needs")):
        with pytest.raises(OptionError, match=words):
            mosaics.recipe(replace(sky, **wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("counts", [{}, {"gain": 1.5, "read_noise": 3.0}])
def test_the_residual_goes_back_tile_by_tile_as_at_the_door(
    counts: dict[str, float], sky: mosaics.Sky
) -> None:
    sky = replace(sky, add_residual=True, **counts)  # type: ignore[arg-type]
    tiled = mosaics.recipe(sky)
    assert np.allclose(done(tiled), whole(tiled), rtol=1e-5, atol=1e-3)
    one = mosaics.recipe(replace(sky, tile=None, steps=None))
    door = astro.deconvolve(
        np.load(str(sky.image)),
        sky.psf,
        target=1.2,
        weights=sky.weights,
        add_residual=True,
        **counts,  # type: ignore[arg-type]
    )
    assert np.allclose(done(one), door.image, rtol=1e-5, atol=1e-3)
    without = mosaics.recipe(replace(sky, add_residual=False))
    assert np.nanmax(np.abs(done(without) - done(tiled))) > 0.1
    assert without.fingerprint != tiled.fingerprint


def test_backgrounds_of_channels_and_of_pixels(sky: mosaics.Sky, tmp_path: Path) -> None:
    data = np.load(str(sky.image))
    sky = replace(sky, noise=np.array([1.0, 2.0]))
    levels = np.array([50.0, 46.0], np.float32)
    ramp = np.broadcast_to(np.linspace(-5, 5, 400, dtype=np.float32), (24, 400))
    one = done(mosaics.recipe(replace(sky, background=levels)))
    # a map of the background, for both channels, is taken off and put back
    np.save(tmp_path / "ramp.npy", ramp)
    np.save(tmp_path / "level.npy", np.broadcast_to(levels[:, None, None], data.shape) + ramp)
    np.save(tmp_path / "tilted.npy", data + ramp)
    tilted = replace(sky, image=tmp_path / "tilted.npy", background=tmp_path / "level.npy")
    recipe = mosaics.recipe(tilted)
    found = done(recipe)
    assert np.allclose(found - ramp, one, rtol=1e-5, atol=2e-3)
    assert np.allclose(found, whole(recipe), rtol=1e-5, atol=1e-4)
    plane = mosaics.recipe(replace(tilted, background=tmp_path / "ramp.npy"))
    assert np.isfinite(done(plane)).all()
    with pytest.raises(ShapeError, match="3 background"):
        mosaics.recipe(replace(sky, background=np.ones(3)))
    with pytest.raises(DataError, match="background is nan"):
        mosaics.recipe(replace(sky, background=float("nan")))


@pytest.mark.parametrize("tile", [80, None])
def test_any_unit_gives_the_same_tiles_in_that_unit(
    tile: int | None, sky: mosaics.Sky, tmp_path: Path
) -> None:
    data, c = np.load(str(sky.image)), np.float32(2.0**-80)
    np.save(tmp_path / "small.npy", c * data)
    np.save(tmp_path / "noise.npy", np.full_like(data, 1.5))
    np.save(tmp_path / "small noise.npy", c * np.full_like(data, 1.5))
    for noise, small_noise in ((None, None), ("noise.npy", "small noise.npy")):
        one = replace(sky, tile=tile, noise=noise and tmp_path / noise)
        other = replace(
            one, image=tmp_path / "small.npy", noise=small_noise and tmp_path / small_noise
        )
        found = done(mosaics.recipe(other))
        assert np.array_equal(found, c * done(mosaics.recipe(one)), equal_nan=True)


@pytest.mark.parametrize("tile", [80, None])
def test_zeros_around_a_footprint_are_as_nan(
    tile: int | None, sky: mosaics.Sky, tmp_path: Path
) -> None:
    data = np.load(str(sky.image))[:1]
    y, x = np.mgrid[:24, :400]
    outside = (x < 40 + y) | (x > 330 - y)
    for name, value in (("nan.npy", np.nan), ("zero.npy", 0.0)):
        data[:, outside] = value
        np.save(tmp_path / name, data)
    nan, zero = (
        done(mosaics.recipe(replace(sky, image=tmp_path / name, tile=tile)))
        for name in ("nan.npy", "zero.npy")
    )
    assert np.array_equal(zero, nan, equal_nan=True) and np.isnan(zero[0, 12, 10])
    integers = np.round(np.nan_to_num(data))
    np.save(tmp_path / "counts.npy", integers)
    counts = done(mosaics.recipe(replace(sky, image=tmp_path / "counts.npy", tile=tile, noise=1.0)))
    assert np.isfinite(counts).all()


@pytest.mark.parametrize("tile", [80, None])
def test_a_channel_of_zeros_is_empty(tile: int | None, sky: mosaics.Sky, tmp_path: Path) -> None:
    data = np.load(str(sky.image))
    data[1] = 0
    np.save(tmp_path / "half.npy", data)
    half = replace(sky, image=tmp_path / "half.npy", tile=tile, halo="64")
    found, full = (done(mosaics.recipe(each)) for each in (half, replace(half, image=sky.image)))
    assert np.isnan(found[1]).all() and np.allclose(found[0], full[0], atol=1e-4)


def test_an_empty_channel_stays_empty_and_harms_no_other(sky: mosaics.Sky, tmp_path: Path) -> None:
    data = np.load(str(sky.image))
    data[1] = np.nan
    np.save(tmp_path / "half.npy", data)
    for tile in (80, None):
        half = replace(sky, image=tmp_path / "half.npy", tile=tile, halo="64")
        found, full = (
            done(mosaics.recipe(each)) for each in (half, replace(half, image=sky.image))
        )
        assert np.isnan(found[1]).all() and np.allclose(found[0], full[0], atol=1e-4)
    recipe = mosaics.recipe(replace(sky, image=tmp_path / "half.npy", halo="64"))
    unit = recipe.grid[len(recipe.grid) - 1]
    block = np.load(str(sky.image))[unit.block]
    with pytest.raises(DataError, match="channel 1 was empty in the sample"):
        recipe.task.build()(block, unit)


def test_what_does_not_fit_is_halved_and_stays_so(
    sky: mosaics.Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rimaging.tiles.processor import SkyTiles

    recipe = mosaics.recipe(replace(sky, tile=None))
    unit = recipe.grid[0]
    block = open_source(recipe.source).read(unit.block)
    process, tried = SkyTiles(recipe.task.settings), []
    expected, some = process(block, unit)["image"], process._some

    def small(part_of: np.ndarray, unit: Unit, part: slice) -> dict[str, np.ndarray]:
        tried.append(part.stop - part.start)
        if part.stop - part.start > 1:
            raise torch.OutOfMemoryError("told")
        return some(part_of, unit, part)

    monkeypatch.setattr(process, "_some", small)
    for _ in range(2):
        assert np.allclose(process(block, unit)["image"], expected, atol=1e-5, equal_nan=True)
    assert tried == [2, 1, 1, 1, 1]


def test_a_psf_off_its_middle_is_warned_of_as_at_the_door(sky: mosaics.Sky) -> None:
    psf = torch.zeros(21, 21)
    psf[4:17, 6:19] = astro.as_psf(2.4)
    with pytest.warns(UserWarning, match=r"centred \+2\.00, \+0\.00 pixels"):
        mosaics.recipe(replace(sky, psf=psf))
