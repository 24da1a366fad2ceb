from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp

from rimaging.datasets.bart import is_cfl, read_cfl, read_cfl_measurement, write_cfl
from rimaging.datasets.open import open, open_array, sniff
from rimaging.datasets.save import save
from rimaging.errors import FormatError, ShapeError
from rimaging.operators.fourier import centred_fft, centred_ifft


def array(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@given(shape=hnp.array_shapes(min_dims=1, max_dims=6, max_side=4))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...]
) -> None:
    path = tmp_path_factory.mktemp("cfl") / "a.cfl"
    values = array(*shape)
    back = read_cfl(write_cfl(path, values))
    assert back.ndim >= 3
    assert np.array_equal(back.reshape(-1), values.reshape(-1))
    lead = shape[: max(0, len(shape) - 3)]
    while lead and lead[0] == 1:
        lead = lead[1:]
    assert back.shape == (*lead, *(1, 1, 1, *shape)[-3:])
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.cfl", "a.hdr"]


def test_nothing_is_overwritten_by_accident(tmp_path: Path) -> None:
    path = write_cfl(tmp_path / "a", array(4, 5))
    assert path == tmp_path / "a.cfl"
    with pytest.raises(FormatError, match="exists"):
        write_cfl(path, array(4, 5))
    assert np.array_equal(read_cfl(write_cfl(path, array(2, 2), overwrite=True))[0], array(2, 2))
    with pytest.raises(FormatError, match="folder"):
        write_cfl(tmp_path / "absent" / "a.cfl", array(4, 5))
    with pytest.raises(ShapeError, match="17 axes"):
        write_cfl(tmp_path / "b.cfl", array(*([1] * 17)))


def test_kspace_and_images_are_told_by_their_coils(tmp_path: Path) -> None:
    write_cfl(tmp_path / "k.cfl", array(4, 1, 20, 18))
    write_cfl(tmp_path / "one.cfl", array(20, 18))
    m = open(tmp_path / "k.cfl")
    assert (m.kind, tuple(m.data.shape)) == ("kspace", (4, 20, 18))
    assert "centred" in m.provenance["assumed"][0]
    assert open(tmp_path / "k.hdr").data.equal(m.data)
    assert open(tmp_path / "one.cfl").kind == "image"
    assert open(tmp_path / "one.cfl", kind="kspace").data.shape == (1, 20, 18)
    assert open_array(tmp_path / "k.cfl", "maps").shape == (4, 20, 18)


def test_frames_and_slices_are_axes_in_front(tmp_path: Path) -> None:
    # BART: time is dimension 10, slice 13
    frames = array(3, 1, 1, 2, 1, 1, 1, 1, 1, 4, 1, 20, 18)
    write_cfl(tmp_path / "k.cfl", frames)
    m = read_cfl_measurement(tmp_path / "k.cfl")
    assert m.data.shape == (3, 2, 4, 20, 18)
    assert np.array_equal(m.data.numpy(), frames.reshape(3, 2, 4, 20, 18))


def test_a_volume_becomes_slices(tmp_path: Path) -> None:
    images = torch.from_numpy(array(6, 4, 20, 18))  # (z, coil, y, x)
    kspace = centred_fft(images, (-4, -2, -1)).transpose(0, 1)
    write_cfl(tmp_path / "k.cfl", kspace)
    m = read_cfl_measurement(tmp_path / "k.cfl")
    torch.testing.assert_close(centred_ifft(m.data), images, atol=1e-5, rtol=0)


def test_an_image_is_saved_by_its_suffix_with_names_of_axes(tmp_path: Path) -> None:
    volume = array(3, 2, 20, 18)  # (frame, slice, y, x)
    path = save(tmp_path / "x.cfl", volume)
    sizes = [int(n) for n in (tmp_path / "x.hdr").read_text().split("\n")[1].split()]
    assert (sizes[0], sizes[1], sizes[10], sizes[13]) == (18, 20, 3, 2)
    assert np.array_equal(open(path).data.numpy(), volume.swapaxes(0, 1))
    assert np.array_equal(open(save(tmp_path / "y.cfl", volume[0])).data.numpy(), volume[0])
    assert np.array_equal(open(save(tmp_path / "z.cfl", volume[0, 0])).data.numpy(), volume[0, 0])
    with pytest.raises(FormatError, match="exists"):
        save(path, volume)
    with pytest.raises(FormatError, match="does not fit"):
        save(tmp_path / "many.cfl", volume[None])


@pytest.mark.parametrize(
    ("shape", "real", "words"),
    [((10, 30, 3), True, "a trajectory"), ((4, 10, 30, 1), False, "along a trajectory"),
     ((2, 4, 1, 20, 18), False, "2 sets of maps")],
)  # fmt: skip
def test_what_is_no_cartesian_kspace_is_named(
    tmp_path: Path, shape: tuple[int, ...], real: bool, words: str
) -> None:
    write_cfl(tmp_path / "k.cfl", array(*shape).real if real else array(*shape))
    with pytest.raises(FormatError, match=words):
        open(tmp_path / "k.cfl")


def test_damaged_pairs_are_named(tmp_path: Path) -> None:
    path = write_cfl(tmp_path / "k.cfl", array(4, 1, 20, 18))
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(FormatError, match="damaged or of two"):
        open(path)
    header = tmp_path / "k.hdr"
    for text in ("# Dimensions\n", "# Dimensions\n4 -1\n", "# Dimensions\nx y\n"):
        header.write_text(text)
        with pytest.raises(FormatError, match="no line of sizes"):
            open(path)
    header.write_text("# Dimensions\n" + "100000 " * 3)
    with pytest.raises(FormatError, match="declares"):
        open(path)
    header.unlink()
    with pytest.raises(FormatError, match="header is missing"):
        open(path)
    assert not is_cfl(path)


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_bart_itself_agrees(tmp_path: Path) -> None:
    """Its phantom is an image whose k-space, transformed by us, is that image."""
    for options, name in ((["-s", "3"], "image"), (["-s", "3", "-k"], "kspace")):
        subprocess.run(["bart", "phantom", "-x", "32", *options, str(tmp_path / name)], check=True)
    # the centred orthonormal transform of BART
    subprocess.run(
        ["bart", "fft", "-u", "-i", "3", str(tmp_path / "kspace"), str(tmp_path / "back")],
        check=True,
    )
    m = read_cfl_measurement(tmp_path / "kspace.cfl")
    assert sniff(tmp_path / "kspace.cfl") == "bart"
    ours = centred_ifft(m.data)
    theirs = torch.from_numpy(read_cfl(tmp_path / "back").copy()).squeeze(-3)
    torch.testing.assert_close(ours, theirs, atol=1e-4 * float(theirs.abs().max()), rtol=0)


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_bart_counts_the_axes_as_we_do(tmp_path: Path) -> None:
    """x, y, z, coil, set, contrast are its dimensions 0 to 5; its transforms are ours."""
    values = array(2, 5, 4, 3, 8, 6)  # (contrast, set, coil, z, y, x)
    path = write_cfl(tmp_path / "k", values)

    def bart(*words: object) -> str:
        command = ["bart", *map(str, words)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    sizes = [int(bart("show", "-d", axis, path.with_suffix(""))) for axis in range(7)]
    assert sizes == [6, 8, 3, 4, 5, 2, 1]
    bart("fft", "-u", "-i", 7, tmp_path / "k", tmp_path / "image")
    bart("rss", 8, tmp_path / "image", tmp_path / "joined")
    images = centred_ifft(torch.from_numpy(values), (-3, -2, -1))
    assert np.allclose(read_cfl(tmp_path / "image"), images.numpy(), atol=1e-5)
    joined = images.abs().square().sum(2, keepdim=True).sqrt()
    assert np.allclose(read_cfl(tmp_path / "joined"), joined.numpy(), atol=1e-5)
