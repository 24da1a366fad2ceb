"""Laws of the noisy photographs: declared noise, determinism, no leak into the tests."""

import pytest
import torch

from rimaging.datasets.data_card import SPLITS, load_data_card
from rimaging.datasets.picture import read_picture
from rimaging.datasets.simulate.photographs import Photographs, bsds300, dihedral
from rimaging.errors import CardError, DataError, FormatError


@pytest.fixture(scope="module")
def sampler(data_root):
    return Photographs({"sigma": {"uniform": [3, 65]}}, data_root)


def test_the_generator_alone_decides(sampler):
    one = sampler(torch.Generator().manual_seed(1), 3, 32)
    sampler(torch.Generator().manual_seed(9), 2, 64)
    again = sampler(torch.Generator().manual_seed(1), 3, 32)
    other = sampler(torch.Generator().manual_seed(2), 3, 32)
    assert torch.equal(one[0].y, again[0].y) and torch.equal(one[1], again[1])
    assert not torch.equal(one[1], other[1])


def test_noise_is_the_declared_one(sampler):
    likelihood, truth = sampler(torch.Generator().manual_seed(3), 16, 64)
    sigma = likelihood.noise_scale.flatten() * 255
    assert sigma.min() >= 3 and sigma.max() <= 65 and sigma.std() > 5
    # The mean of 4096 squares of unit normals has a standard deviation of 0.022.
    assert torch.allclose(likelihood.chi2(truth), torch.ones(16), atol=0.11)


def test_truths_are_pixels_of_photographs(sampler):
    truth = sampler.patches(torch.Generator().manual_seed(4), 8, 48)
    assert truth.shape == (8, 48, 48) and truth.dtype == torch.float32
    assert truth.min() >= 0 and truth.max() <= 1
    assert torch.equal(truth * 255, (truth * 255).round())


def test_gray_is_that_of_the_test_set(data_root):
    import numpy as np
    from PIL import Image

    path = min((data_root / "natural" / "bsd68_gray").glob("*.png"))
    gray = torch.from_numpy(np.array(Image.open(path).convert("L")))
    candidates = bsds300(data_root, "test")
    assert any(c.shape == gray.shape and torch.equal(c, gray) for c in candidates)


def test_leaking_images_are_left_out(sampler, data_root):
    colour = Photographs({"colour": 1.0}, data_root).images
    for leak in load_data_card("bsds300").leaks:
        (path,) = leak.files
        picture = (255 * read_picture(data_root / path).data).round()
        assert not any(picture.shape == i.shape and torch.equal(picture, i.float()) for i in colour)
    assert len(sampler.images) == 198


def test_splits_share_no_image(data_root):
    card = load_data_card("bsds300")
    names = [{item.sha256 for item in card.items(split)} for split in SPLITS]
    assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])


def test_dihedral_gives_eight_images():
    image = torch.arange(9).reshape(3, 3)
    assert len({tuple(dihedral(image, i).flatten().tolist()) for i in range(8)}) == 8


def test_refusals_say_what_to_do(sampler, data_root, tmp_path):
    with pytest.raises(DataError, match="choose size <= 321"):
        sampler(torch.Generator(), 1, 400)
    with pytest.raises(CardError, match="no split 'training'"):
        Photographs({}, data_root, "training")
    with pytest.raises(CardError, match="'sgima': did you mean 'sigma'"):
        Photographs({"sgima": 25}, data_root)
    with pytest.raises(FormatError, match=r"100075\.jpg' does not exist"):
        Photographs({}, tmp_path)
