"""A small sky tile by tile: by the command line, by Python, like the whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rimaging import mosaics
from rimaging.cli import app
from rimaging.errors import DataError, FormatError, OptionError, ShapeError
from rimaging.mosaic.folder import Recipe
from rimaging.mosaic.generated import describe_starfield
from rimaging.mosaic.sources import open_source
from rimaging.mosaic.tiles import Grid

SHAPE = (2, 88, 104)
Write = Callable[..., Path]


@pytest.fixture
def sky_file(tmp_path: Path) -> Path:
    """Two channels of a made-up sky on a background, with a hole."""
    from astropy.io import fits

    everything = (slice(0, 2), slice(0, 88), slice(0, 104))
    data = open_source(describe_starfield(SHAPE, fwhm=3.0, cell=24)).read(everything) + 50
    data[0, 30:33, 40:42] = np.nan
    fits.writeto(tmp_path / "sky.fits", data, fits.Header({"BUNIT": "nJy"}))
    return tmp_path / "sky.fits"


def whole(recipe: Recipe, image: Path) -> np.ndarray:
    """What the same task gives when it sees everything at once."""
    unit = Grid(recipe.grid.shape, recipe.grid.shape, 0)[0]
    answer = recipe.task.build()(open_source(recipe.source).read(unit.block), unit)
    assert isinstance(answer, dict)
    return answer["image"]


def test_with_the_exact_halo_tiles_equal_the_whole(
    sky_file: Path, tmp_path: Path, real_weights: Path
) -> None:
    from astropy.io import fits

    sky = mosaics.Sky(
        image=sky_file, psf=3.0, target=1.5, weights=real_weights, tile=40, halo="exact"
    )
    outcome = mosaics.deconvolve(sky, tmp_path / "out.fits")
    assert outcome.done == 18
    recipe = mosaics.recipe(sky)
    expected = whole(recipe, sky_file)
    with fits.open(tmp_path / "out.fits", checksum=True) as hdus:
        found = np.asarray(hdus["SCI"].data, np.float32)
        header = hdus["SCI"].header
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-4)
    assert header["BUNIT"] == "nJy" and header["RIMMODEL"] == "tiny"
    assert header["PSFFWHM"] == 1.5 and header["RIMPSF"] == "gaussian:3"
    assert np.isfinite(found).all() and not mosaics.verify(tmp_path / "out.fits").problems


def test_the_measured_halo_keeps_its_promise_on_every_grid(
    sky_file: Path, real_weights: Path
) -> None:
    sky = mosaics.Sky(image=sky_file, psf=3.0, target=1.5, noise=1.0, weights=real_weights)
    answers = []
    for tile in (40, 48):
        recipe = mosaics.recipe(replace(sky, tile=tile))
        assert recipe.notes is not None and recipe.notes["seam error"] < 1e-3
        image = np.full(SHAPE, np.nan, np.float32)
        process = recipe.task.build()
        for unit in recipe.grid:
            answer = process(open_source(recipe.source).read(unit.block), unit)
            image[unit.core] = answer["image"]  # type: ignore[call-overload]
        answers.append(image)
    assert np.abs(answers[0] - answers[1]).max() < 2e-3


def test_the_command_line_takes_the_same_way(
    sky_file: Path, tmp_path: Path, real_weights: Path
) -> None:
    def run(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.output

    out = tmp_path / "out.fits"
    options = ["--psf", "3", "--target", "1.5", "--weights", real_weights, "--tile", "48"]
    told = run("plan", sky_file, *options)
    for word in ("memory", "disk", "halo", "hours", "units    12 of 1 x 48 x 48"):
        assert word in told
    assert "12 tiles" in run("deconvolve", sky_file, "-o", out, *options)
    assert "all as it was computed" in run("verify", out)
    with out.open("r+b") as file:
        file.seek(-20000, 2)
        file.write(b"spoilt")
    result = CliRunner().invoke(app, ["verify", str(out)])
    assert result.exit_code == 1 and "unit" in result.output


def test_channels_have_their_own_psf_and_noise(
    sky_file: Path, tmp_path: Path, real_weights: Path
) -> None:
    from rimaging.operators.target import gaussian_psf

    wide, narrow = gaussian_psf(4.0), gaussian_psf(3.0)
    pad = (wide.shape[-1] - narrow.shape[-1]) // 2
    psfs = np.stack([wide.numpy(), np.pad(narrow.numpy(), pad)])
    sky = mosaics.Sky(image=sky_file, psf=psfs, noise=np.array([1.0, 2.0]), weights=real_weights)
    both = whole(mosaics.recipe(sky), sky_file)
    data = open_source(mosaics.recipe(sky).source).read(Grid(SHAPE, SHAPE, 0)[0].block)
    for channel, sigma in enumerate((1.0, 2.0)):
        np.save(tmp_path / "one.npy", data[channel])
        alone = replace(sky, image=tmp_path / "one.npy", psf=psfs[channel], noise=sigma, target=2.0)
        one = whole(mosaics.recipe(alone), tmp_path / "one.npy")
        assert np.allclose(one[0], both[channel], rtol=1e-3, atol=2e-2)


def test_what_does_not_fit_is_refused(sky_file: Path, tmp_path: Path, real_weights: Path) -> None:
    sky = mosaics.Sky(image=sky_file, psf=3.0, weights=real_weights)
    with pytest.raises(ShapeError, match="3 PSFs"):
        mosaics.recipe(replace(sky, psf=np.ones((3, 5, 5), np.float32)))
    with pytest.raises(DataError, match="noise"):
        mosaics.recipe(replace(sky, noise=0.0))
    with pytest.raises(OptionError, match="auto, exact"):
        mosaics.recipe(replace(sky, halo="wide", tile=48))
    with pytest.raises(OptionError, match="multiple of 8"):
        mosaics.recipe(replace(sky, tile=50))


def test_a_stopped_run_goes_on_without_measuring_again(
    sky_file: Path, tmp_path: Path, real_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        pass

    def stop(progress: object, _: str) -> None:
        if getattr(progress, "done", 0) == 3:
            raise Stop

    sky = mosaics.Sky(image=sky_file, psf=3.0, target=1.5, weights=real_weights, tile=48, halo="16")
    out = tmp_path / "out.zarr"
    with pytest.raises(Stop):
        mosaics.deconvolve(sky, out, report=stop)
    for other, words in (
        (replace(sky, noise=2.0), "option given noise was None, is 2.0"),
        (replace(sky, psf=3.2), "option given psf was 3.0, is 3.2"),
        (replace(sky, halo="24"), "option given halo was 16, is 24"),
    ):
        with pytest.raises(OptionError, match=words):
            mosaics.deconvolve(other, out, resume=True)
    monkeypatch.setattr(mosaics, "recipe_for", None)  # the sample is not taken again
    outcome = mosaics.deconvolve(sky, out, resume=True)
    assert (outcome.resumed, outcome.done) == (3, 9) and not mosaics.verify(out).problems


@pytest.mark.parametrize(
    ("option", "words"),
    [("--tile", "at least one"), ("--workers", "0 workers"), ("--halo", "auto, exact")],
)
def test_nothing_that_is_asked_for_is_left_aside(
    option: str, words: str, sky_file: Path, tmp_path: Path, real_weights: Path
) -> None:
    value = "wide" if option == "--halo" else "0"
    asked = ["deconvolve", sky_file, "-o", tmp_path / "out.fits", "--psf", "3", option, value]
    result = CliRunner().invoke(app, [*map(str, asked), "--weights", str(real_weights)])
    assert result.exit_code == 2 and words in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out.fits").exists()


@pytest.fixture
def stopped(
    sky_file: Path, tmp_path: Path, real_weights: Path
) -> Callable[..., tuple[mosaics.Sky, Path]]:
    """A run that was stopped after some units: of what, and into what."""

    class Stop(Exception):
        pass

    def stop(progress: object, _: str) -> None:
        if getattr(progress, "done", 0) == 3:
            raise Stop

    def start(**more: object) -> tuple[mosaics.Sky, Path]:
        asked = {"image": sky_file, "psf": 3.0, "target": 1.5, "tile": 48, "halo": "16"}
        sky = mosaics.Sky(**{**asked, "weights": real_weights, **more})
        with pytest.raises(Stop):
            mosaics.deconvolve(sky, tmp_path / "out.zarr", report=stop)
        return sky, tmp_path / "out.zarr"

    return start


def test_a_moved_input_is_read_where_it_is_now(
    stopped: Callable[..., tuple[mosaics.Sky, Path]], sky_file: Path, tmp_path: Path
) -> None:
    import zarr

    sky, out = stopped()
    moved = tmp_path / "elsewhere" / sky_file.name
    moved.parent.mkdir()
    sky_file.rename(moved)
    sky_file.write_bytes(b"another file at the old place")
    mosaics.deconvolve(replace(sky, image=moved), out, resume=True)
    mosaics.deconvolve(replace(sky, image=moved), tmp_path / "straight.zarr")
    found, expected = (zarr.open_array(p / "image")[:] for p in (out, tmp_path / "straight.zarr"))
    assert np.array_equal(found, expected, equal_nan=True)


def test_another_extension_of_the_same_file_is_another_input(
    stopped: Callable[..., tuple[mosaics.Sky, Path]], sky_file: Path, tmp_path: Path
) -> None:
    from astropy.io import fits

    first = fits.getdata(sky_file)
    both = [fits.ImageHDU(first, name="A"), fits.ImageHDU(first[:, ::-1], name="B")]
    fits.HDUList([fits.PrimaryHDU(), *both]).writeto(tmp_path / "both.fits")
    sky, out = stopped(image=f"{tmp_path / 'both.fits'}[A]")
    other = replace(sky, image=f"{tmp_path / 'both.fits'}[B]")
    with pytest.raises(OptionError, match="input extension was 1, is 2"):
        mosaics.deconvolve(other, out, resume=True)


def test_a_map_that_changed_between_is_named(
    stopped: Callable[..., tuple[mosaics.Sky, Path]], tmp_path: Path
) -> None:
    import zarr

    maps = tmp_path / "noise.zarr"
    noise = zarr.create_array(maps, data=np.ones(SHAPE, np.float32), chunks=(1, 44, 52))
    sky, out = stopped(noise=maps)
    noise[0, 0, 0] = 2.0
    with pytest.raises(OptionError, match="option noise was"):
        mosaics.deconvolve(sky, out, resume=True)


@pytest.mark.parametrize("part", ["source", "task"])
def test_a_plan_names_no_code_to_run(
    part: str, stopped: Callable[..., tuple[mosaics.Sky, Path]], tmp_path: Path
) -> None:
    sky, out = stopped()
    path = out.with_suffix(".run") / "plan.json"
    plan = json.loads(path.read_text())
    hostile = {"factory": "subprocess:getoutput", "settings": f"touch {tmp_path}/harm"}
    plan[part] |= {"kind": "generated", **hostile} if part == "source" else hostile
    if part == "task":
        plan[part] = {**plan[part], "settings": {f"touch {tmp_path}/harm": 1}}
    path.write_text(json.dumps(plan))
    with nullcontext() if part == "source" else pytest.raises(OptionError, match="changed"):
        mosaics.deconvolve(sky, out, resume=True)
    assert not (tmp_path / "harm").exists()


def test_an_output_that_holds_an_input_is_refused(
    sky_file: Path, tmp_path: Path, real_weights: Path
) -> None:
    import zarr
    from astropy.io import fits

    zarr.create_array(tmp_path / "sky.zarr" / "image", data=fits.getdata(sky_file))
    for image, out in (
        (sky_file, sky_file),
        (tmp_path / "sky.zarr" / "image", tmp_path / "sky.zarr"),
    ):
        sky = mosaics.Sky(image=image, psf=3.0, weights=real_weights)
        with pytest.raises(FormatError, match="is, or holds, an input"):
            mosaics.deconvolve(sky, out, overwrite=True)
        assert out.exists()


def test_what_is_beside_an_image_is_found_whatever_its_folder_is_called(
    tmp_path: Path, real_weights: Path
) -> None:
    from astropy.io import fits

    images = []
    for folder in ("plain", "field[7] \u00fc"):
        (tmp_path / folder).mkdir()
        parts = [("SCI", np.float32), ("ERR", np.float32), ("DQ", np.int32)]
        hdus = [fits.ImageHDU(np.ones((40, 48), kind), name=name) for name, kind in parts]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / folder / "a.fits")
        sky = mosaics.Sky(image=tmp_path / folder / "a.fits", psf=3.0, weights=real_weights)
        settings = mosaics.recipe(sky).task.settings
        images.append([settings["noise"]["sources"][0]["name"], len(settings["masks"])])
    assert images[0] == images[1] == ["ERR", 1]


def test_the_pace_of_workers_is_that_of_one_thread(
    sky_file: Path, real_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from rimaging.tiles.processor import SkyTiles

    seen: list[int] = []
    inner = SkyTiles.__call__

    def counted(self: SkyTiles, block: np.ndarray, unit: object) -> object:
        seen.append(torch.get_num_threads())
        return inner(self, block, unit)  # type: ignore[arg-type]

    monkeypatch.setattr(SkyTiles, "__call__", counted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        sky = mosaics.Sky(image=sky_file, psf=3.0, target=1.5, weights=real_weights)
        mosaics.plan(sky, mosaics.Workers(count=3))
        assert seen[-1] == 1 and torch.get_num_threads() == 2
        mosaics.plan(sky)
        assert seen[-1] == 2
    finally:
        torch.set_num_threads(before)


STEP = 1e-4


@pytest.mark.parametrize("units", ["Jy/beam", "K"])
@pytest.mark.parametrize("beams", ["one", "a table"])
@pytest.mark.parametrize("target", [2.0, 0.0])
def test_the_beam_of_the_output_is_that_of_the_whole_way(
    units: str, beams: str, target: float, sky_file: Path, tmp_path: Path, real_weights: Path
) -> None:
    from astropy.io import fits

    from rimaging import astro
    from rimaging.datasets.fits_beams import Beams, beams_table

    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CTYPE3": "FREQ"})
    header.update({"CDELT1": -STEP, "CDELT2": STEP, "CDELT3": 1e6, "BUNIT": units})
    widths = STEP * np.array([[4.0, 3.0]])
    more = []
    if beams == "one":
        header.update({"BMAJ": 4 * STEP, "BMIN": 3 * STEP, "BPA": 20.0})
    else:
        header["CASAMBM"] = True
        more = [beams_table(Beams(widths, 0.9 * widths, 0 * widths, table=True))]
    path, psf = tmp_path / "cube.fits", "gaussian:3"
    fits.HDUList([fits.PrimaryHDU(fits.getdata(sky_file), header), *more]).writeto(path)
    astro.deconvolve(path, psf, target=target, weights=real_weights).save(tmp_path / "whole.fits")
    sky = mosaics.Sky(image=path, psf=psf, target=target, weights=real_weights)
    mosaics.deconvolve(sky, tmp_path / "tiles.fits")
    with fits.open(tmp_path / "whole.fits") as whole, fits.open(tmp_path / "tiles.fits") as tiles:
        one, other = whole["SCI"], tiles["SCI"]
        assert np.allclose(one.data, other.data, rtol=1e-4, atol=1e-4 * np.abs(one.data).max())
        for card in ("BUNIT", "BMAJ", "BMIN", "BPA", "CASAMBM"):
            assert one.header.get(card) == other.header.get(card), card
        assert ("BEAMS" in whole) == ("BEAMS" in tiles) == (beams == "a table" and target > 0)
        if "BEAMS" in whole:
            assert np.array_equal(whole["BEAMS"].data, tiles["BEAMS"].data)
    assert not mosaics.verify(tmp_path / "tiles.fits").problems


def test_the_scale_of_a_beam_is_not_that_of_the_seam(
    sky_file: Path, tmp_path: Path, real_weights: Path
) -> None:
    from astropy.io import fits

    from rimaging.mosaic.task import unpack

    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "BUNIT": "Jy/beam"})
    header.update({"CDELT1": -STEP, "CDELT2": STEP, "BMAJ": 4 * STEP, "BMIN": 3 * STEP})
    found = []
    for units in ("Jy/beam", "Jy/pixel"):
        header["BUNIT"] = units
        path = tmp_path / f"{units[3:]}.fits"
        fits.writeto(path, fits.getdata(sky_file), header)
        sky = mosaics.Sky(image=path, psf=3.0, target=1.5, noise=1.0, weights=real_weights, tile=48)
        found.append(mosaics.recipe(sky))
    beam, pixel = found
    assert beam.notes is not None and pixel.notes is not None
    assert beam.notes["seam error"] == pixel.notes["seam error"] and beam.grid == pixel.grid
    factor = unpack(beam.task.settings["per_beam"])
    assert factor == pytest.approx([1.5**2 / 12] * 2) and "per_beam" not in pixel.task.settings


@pytest.mark.parametrize("spoilt", ["SCI", "ERR"])
def test_a_wrong_checksum_of_what_is_read_stops_a_run_before_it_begins(
    spoilt: str, sky_file: Path, tmp_path: Path, real_weights: Path
) -> None:
    from astropy.io import fits

    data = np.nan_to_num(fits.getdata(sky_file), nan=50.0)
    images = [fits.ImageHDU(data, name="SCI"), fits.ImageHDU(np.ones_like(data), name="ERR")]
    path, out = tmp_path / "sums.fits", tmp_path / "out.fits"
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path, checksum=True)
    sky = mosaics.Sky(image=path, psf=3.0, target=1.5, weights=real_weights, tile=48, halo="16")
    with fits.open(path) as hdus:
        index, place = hdus.index_of(spoilt), hdus[spoilt].fileinfo()["datLoc"]
    with path.open("r+b") as file:
        file.seek(place + 4001)
        byte = file.read(1)[0]
        file.seek(place + 4001)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(FormatError, match=rf"sums.fits'\[{index}\] does not have the checksum"):
        mosaics.deconvolve(sky, out)
    assert not out.exists() and not out.with_suffix(".run").exists()


def test_the_learned_error_has_the_scale_of_its_image(sky_file: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    from rimaging import astro

    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "BUNIT": "Jy/beam"})
    header.update({"CDELT1": -STEP, "CDELT2": STEP, "BMAJ": 4 * STEP, "BMIN": 3 * STEP})
    path = tmp_path / "map.fits"
    fits.writeto(path, fits.getdata(sky_file)[1, :64, :64], header)
    whole = astro.deconvolve(path, 3.0)
    whole.save(tmp_path / "whole.fits")
    sky = mosaics.Sky(image=path, psf=3.0, error_map="learned")
    mosaics.deconvolve(sky, tmp_path / "tiles.fits")
    found = [fits.getdata(tmp_path / f"{name}.fits", "ERR") for name in ("whole", "tiles")]
    assert np.allclose(*found, rtol=1e-3)
    assert np.allclose(found[0], np.asarray(whole.uncertainty) / 3, rtol=1e-4)  # 2^2 / (4 x 3)
