"""A run from recipe to output, in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rimaging.errors import FormatError, OptionError
from rimaging.mosaic.folder import Recipe, RunFolder
from rimaging.mosaic.generated import box_blur
from rimaging.mosaic.run import Workers, run
from rimaging.mosaic.tiles import Grid
from rimaging.mosaic.verify import verify

Make = Callable[..., Recipe]


def whole(image: Path) -> np.ndarray:
    values = np.load(image)
    unit = Grid(values.shape, values.shape, 0)[0]
    return np.asarray(box_blur({"radius": 3})(values, unit))


def read(output: Path) -> np.ndarray:
    if output.suffix == ".fits":
        from astropy.io import fits

        return np.asarray(fits.getdata(output, "SCI"), np.float32)
    import zarr

    return np.asarray(zarr.open_array(output / "image", mode="r")[:])


@pytest.mark.parametrize("suffix", [".fits", ".zarr"])
def test_tiles_make_the_whole(suffix: str, recipe: Make, image: Path, tmp_path: Path) -> None:
    output = tmp_path / f"out{suffix}"
    outcome = run(recipe(), output)
    assert (outcome.done, outcome.resumed, outcome.quarantined) == (12, 0, {})
    assert np.allclose(read(output), whole(image), rtol=0, atol=1e-6)
    assert not verify(output).problems
    assert not (RunFolder.beside(output).store).exists()


def test_astropy_finds_the_checksums_right(recipe: Make, tmp_path: Path) -> None:
    from astropy.io import fits

    run(recipe(), tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits", checksum=True) as hdus:
        for hdu in hdus:
            assert hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1
        assert hdus["SCI"].header["RIMTILE"] == 48 and hdus["SCI"].header["RIMHALO"] == 8
        hdus.verify("exception")


def test_what_exists_is_not_replaced(recipe: Make, tmp_path: Path) -> None:
    output = tmp_path / "out.fits"
    run(recipe(), output)
    with pytest.raises(OptionError, match="--overwrite"):
        run(recipe(), output)
    output.unlink()
    with pytest.raises(OptionError, match="--resume"):
        run(recipe(), output)
    run(recipe(), output, overwrite=True)
    assert output.is_file()


def test_outputs_that_cannot_be_are_refused_at_once(recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="suffix"):
        run(recipe(), tmp_path / "out.png")
    with pytest.raises(FormatError, match="folder"):
        run(recipe(), tmp_path / "absent" / "out.fits")


@pytest.mark.parametrize("suffix", [".fits", ".zarr"])
def test_an_output_of_another_kind_is_refused_at_once(
    suffix: str, recipe: Make, tmp_path: Path
) -> None:
    output = tmp_path / f"out{suffix}"
    output.mkdir() if suffix == ".fits" else output.touch()
    with pytest.raises(FormatError, match=r"is a (folder|file)"):
        run(recipe(), output, overwrite=True)
    assert not RunFolder.beside(output).path.exists()


@pytest.mark.parametrize("count", [2, 60])
def test_a_cluster_that_is_there_takes_nothing_of_this_machine(count: int) -> None:
    pixels = count * 10**6
    assert Workers(scheduler="tls://there:8786").processes(pixels) == 0
    assert Workers(client=object()).processes(pixels) == 0


def test_a_bad_unit_is_put_aside_and_the_rest_done(
    recipe: Make, image: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.zarr"
    outcome = run(recipe(fails=[5]), output)
    assert outcome.done == 11 and list(outcome.quarantined) == [5]
    assert "this unit is bad" in outcome.quarantined[5]
    assert not output.exists()
    again = run(recipe(fails=[5]), output, resume=True, allow_missing=True)
    assert again.resumed == 11 and output.exists()
    found, expected = read(output), whole(image)
    gap = recipe().grid[5].core
    assert np.isnan(found[gap]).all()
    expected[gap] = np.nan
    assert np.allclose(found, expected, atol=1e-6, equal_nan=True)
    assert any("given up" in problem for problem in verify(output).problems)


def test_a_finished_run_resumed_does_nothing(recipe: Make, tmp_path: Path) -> None:
    output = tmp_path / "out.zarr"
    run(recipe(), output)
    begun = (tmp_path / "log").read_text()
    assert run(recipe(), output, resume=True).done == 0
    assert (tmp_path / "log").read_text() == begun and output.is_dir()


def test_workers_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="exclude"):
        Workers(count=2, gpus=[0])
    with pytest.raises(OptionError, match="at least 1"):
        Workers(count=0)


def test_without_receipts_the_checksums_of_a_file_stand_alone(recipe: Make, tmp_path: Path) -> None:
    from astropy.io import fits

    run(recipe(), tmp_path / "out.fits")
    apart = tmp_path / "apart" / "out.fits"
    apart.parent.mkdir()
    shutil.copy(tmp_path / "out.fits", apart)
    verdicts = verify(apart)
    assert not verdicts.problems and "units" not in " ".join(verdicts.lines())
    with apart.open("r+b") as file:
        file.seek(-20000, 2)
        file.write(b"spoilt")
    assert verify(apart).lines()[-1] == "damaged"
    fits.writeto(tmp_path / "plain.fits", np.ones((3, 4)))
    with pytest.raises(FormatError, match="states no checksums"):
        verify(tmp_path / "plain.fits")


def test_where_no_worker_can_start_it_is_told(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**settings: object) -> None:
        raise RuntimeError("Cluster failed to start: no loopback")

    monkeypatch.setattr("distributed.SpecCluster", refused)
    with pytest.raises(OptionError, match="no loopback"):
        run(recipe(), tmp_path / "out.zarr", Workers(count=1))


def test_verify_says_what_it_compared(recipe: Make, tmp_path: Path) -> None:
    first, second = tmp_path / "out.fits", tmp_path / "out.zarr"
    run(recipe(), first)
    assert verify(first).lines()[-1] == "all as it was computed"
    run(recipe(radius=5), second, overwrite=True)  # takes the folder of receipts over
    told = verify(first).lines()
    assert "checksums alone" in told[0] and told[1:] == ["as it was written"]
    assert not verify(second).problems
    run(recipe(radius=5), first, resume=True)  # by checksums alone it is not that of this run
    assert not np.array_equal(read(first), whole(tmp_path / "in.npy")) and verify(first).receipts
    with pytest.raises(FormatError, match="needs its receipts"):
        verify(second)
