"""Images of one's own data cards: every format alike, split by split, whole or refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from rimaging.datasets.data_card import DataCard, load_data_card
from rimaging.datasets.simulate.images import GRAY, read_images
from rimaging.datasets.simulate.microscopy import read_pairs
from rimaging.datasets.simulate.photographs import Photographs
from rimaging.errors import CardError, DataError, FormatError

HEAD = 'title = "t"\nsource = "s"\nlicence = "l"\nreader = "measurement"\n'
RAMP = (np.arange(20 * 24).reshape(20, 24) % 251).astype(np.uint8)


def made(root: Path, tables: str, name: str = "own") -> DataCard:
    """A card of all files below a root."""
    files = (
        f'"{path.relative_to(root)}" = "{hashlib.sha256(path.read_bytes()).hexdigest()}"\n'
        for path in sorted(root.rglob("*.*"))
    )
    path = root.parent / f"{name}.toml"
    path.write_text(f"{HEAD}{tables}[files]\n{''.join(files)}")
    return load_data_card(path)


def one(root: Path, colour: bool = False) -> tuple[torch.Tensor, ...]:
    return read_images([made(root, '[split]\ntrain = ["*"]\n')], root, "train", colour=colour)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("form", ["png", "tif", "deep.tif", "npy", "fits"])
def test_the_format_does_not_matter(root: Path, form: str) -> None:
    file = root / f"a.{form}"
    if form == "png":
        Image.fromarray(RAMP).save(file)
    elif form.endswith("tif"):
        tifffile.imwrite(file, RAMP.astype(np.uint16) * 257 if "deep" in form else RAMP)
    elif form == "npy":
        np.save(file, RAMP.astype(np.float32))
    else:
        fits = pytest.importorskip("astropy.io.fits")
        fits.writeto(file, RAMP.astype(np.float32))
    (image,) = one(root)
    assert image.dtype == (torch.uint8 if form in ("png", "tif") else torch.float32)
    # Where nothing says what is white, it is the largest value.
    white = 1.0 if form in ("png", "tif", "deep.tif") else 255 / 250
    assert torch.allclose(image.double(), torch.from_numpy(RAMP).double() * white, atol=1e-4)
    (colour,) = one(root, colour=True)
    assert colour.shape == (3, 20, 24) and all(torch.equal(plane, image) for plane in colour)


def test_colour_becomes_gray_by_the_weights_of_bsd68(root: Path) -> None:
    rgb = np.stack((RAMP, RAMP[::-1], RAMP[:, ::-1]), -1)
    Image.fromarray(rgb).save(root / "a.png")
    (colour,) = one(root, colour=True)
    assert torch.equal(colour, torch.from_numpy(np.moveaxis(rgb, -1, 0).copy()))
    (gray,) = one(root)
    assert gray.tolist() == np.round(rgb.astype(np.float64) @ np.array(GRAY)).tolist()


def test_a_stack_is_images_each_by_itself_and_entries_of_it_are_a_split(root: Path) -> None:
    stack = np.stack([RAMP, RAMP[::-1], RAMP + 1.0, RAMP * 2.0]).astype(np.float32)
    np.save(root / "a.npy", stack)
    tables = '[split]\ntrain = ["a.npy[0:3]"]\nvalidation = ["a.npy[3:4]"]\n'
    card = made(root, tables)
    assert [len(read_images([card], root, s)) for s in ("train", "validation")] == [3, 1]  # type: ignore[arg-type]
    for entries in ("[4:9]", "[2:5]", "[2:2]"):
        beyond = made(root, f'[split]\ntrain = ["a.npy{entries}"]\n')
        with pytest.raises(DataError, match=r"a\.npy has 4 entries, its split names \["):
            read_images([beyond], root, "train")


def test_leaking_files_and_cards_without_the_split_are_left_out(root: Path) -> None:
    for name in ("a", "b"):
        Image.fromarray(RAMP).save(root / f"{name}.png")
    leaks = '[[leaks]]\nfiles = ["{}.png"]\nreason = "a test"\n'
    card = made(root, '[split]\ntrain = ["*"]\n' + leaks.format("a"))
    other = made(root, '[split]\nvalidation = ["*"]\n', "other")
    assert len(read_images([card, other], root, "train")) == 1
    assert len(read_images([card, other], root, "validation")) == 2
    with pytest.raises(CardError, match="no split 'test' in 'own', 'other'"):
        read_images([card, other], root, "test")
    both = made(root, '[split]\ntrain = ["*"]\n' + leaks.format("a") + leaks.format("b"))
    with pytest.raises(DataError, match="no image that leaks into no test"):
        read_images([both], root, "train")


def test_what_is_no_truth_is_refused_by_name(root: Path) -> None:
    hole = RAMP.astype(np.float32)
    hole[3, 4] = np.nan
    for array, words in (
        (hole, "a.npy lacks 1 pixels"),
        (RAMP.astype(np.complex64), "a.npy is"),
        (np.zeros((20, 24), np.float32), "a.npy is zero"),
    ):
        np.save(root / "a.npy", array)
        with pytest.raises(DataError, match=words):
            one(root)
    (root / "a.npy").unlink()
    (root / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(FormatError, match=r"a\.png"):
        one(root)


def test_patches_are_pixels_of_ones_own_images_in_0_to_1(root: Path) -> None:
    Image.fromarray(RAMP).save(root / "a.png")
    tifffile.imwrite(root / "b.tif", RAMP.astype(np.uint16) * 257)
    card = made(root, '[split]\ntrain = ["*"]\n')
    sampler = Photographs({"sigma": 25}, root, "train", [card])
    patches = sampler.patches(torch.Generator().manual_seed(0), 20, 16)
    values = 255 * patches
    assert torch.allclose(values, values.round(), atol=1e-3)
    assert float(patches.min()) >= 0 and float(patches.max()) == pytest.approx(250 / 255)


def pair_files(root: Path, shape: tuple[int, ...] = (64, 64)) -> DataCard:
    random = np.random.default_rng(0)
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    for name in ("a", "b", "v"):
        clean = np.broadcast_to(100 + 50 * np.sin(0.1 * x) * np.cos(0.07 * y), shape)
        noisy = random.poisson(clean).astype(np.float32)
        for side, image in (("noisy", noisy), ("clean", 3 * clean.astype(np.float32) + 7)):
            (root / side).mkdir(exist_ok=True)
            np.save(root / side / f"{name}.npy", image)
    return made(
        root,
        '[split]\ntrain = ["noisy/[ab].npy"]\nvalidation = ["noisy/v.npy"]\n'
        '[pairs]\nnoisy = "noisy/*.npy"\nclean = "clean/*.npy"\n',
    )


def test_a_truth_of_other_units_is_brought_to_those_of_its_pair(root: Path) -> None:
    card = pair_files(root)
    pairs = read_pairs([card], root, "train")
    assert [pair.name for pair in pairs] == ["a", "b"]
    for pair in pairs:
        chi2 = float(((pair.noisy - pair.clean) / pair.sigma).square().mean())
        assert chi2 == pytest.approx(1, abs=0.15)
    assert [pair.name for pair in read_pairs([card], root, "validation")] == ["v"]


def test_channels_are_pairs_each_by_itself(root: Path) -> None:
    card = pair_files(root, (2, 64, 64))
    assert len(read_pairs([card], root, "train")) == 4


def test_pairs_that_are_none_are_refused_by_name(root: Path) -> None:
    card = pair_files(root)
    np.save(root / "clean/a.npy", np.ones((64, 32), np.float32))
    with pytest.raises(DataError, match=r"noisy/a\.npy has shape \(1, 64, 64\) and clean/a\.npy"):
        read_pairs([card], root, "train")
    for flat, words in (((64, 64), "shows no noise"), ((16, 16), "32 pixels or more")):
        for side in ("noisy", "clean"):
            np.save(root / side / "a.npy", np.ones(flat, np.float32))
        with pytest.raises(DataError, match=rf"noisy/a\.npy: .*{words}"):
            read_pairs([card], root, "train")
