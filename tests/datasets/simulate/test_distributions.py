"""Laws of parameters drawn from cards."""

import pytest
import torch

from rimaging.datasets.simulate.distributions import draw, draw_name, happens, integer
from rimaging.errors import CardError


def test_draws_stay_within_their_bounds_and_fill_them():
    generator = torch.Generator().manual_seed(0)
    uniform = draw({"uniform": [2, 6]}, generator, 4000)
    assert 2 <= uniform.min() < 2.1 and 5.9 < uniform.max() <= 6
    assert abs(float(uniform.mean()) - 4) < 0.1
    logarithmic = draw({"loguniform": [1, 100]}, generator, 4000)
    assert abs(float(logarithmic.log10().mean()) - 1) < 0.05
    assert set(draw({"choice": [1, 5]}, generator, 50).tolist()) == {1.0, 5.0}
    assert draw(7, generator, 2).tolist() == [7.0, 7.0]


def test_words_integers_and_coins():
    generator = torch.Generator().manual_seed(0)
    assert draw_name("zero", generator) == "zero"
    assert {draw_name({"choice": ["a", "b"]}, generator) for _ in range(40)} == {"a", "b"}
    assert {integer(2, 4, generator) for _ in range(60)} == {2, 3, 4}
    assert not happens(0.0, generator) and happens(1.0, generator)


@pytest.mark.parametrize("wrong", ["three", {"normal": [0, 1]}, {"uniform": [0, 1], "choice": []}])
def test_unknown_distributions_are_refused(wrong):
    with pytest.raises(CardError):
        draw(wrong, torch.Generator(), 1)
