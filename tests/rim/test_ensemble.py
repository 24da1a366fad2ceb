"""The self-ensemble: turns are inverted, the mean is equivariant, other operators keep working."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.target import gaussian_psf
from rimaging.rim.config import RIMConfig
from rimaging.rim.ensemble import ELEMENTS, Turned, ensemble, turn, turn_back
from rimaging.rim.rim import RIM

SHAPE = (16, 12)


def rim() -> RIM:
    torch.manual_seed(0)
    made = RIM(RIMConfig(steps=2, newton_iterations=1, fine=4, coarse=4))
    torch.nn.init.normal_(made.cell.write.weight, std=0.05)
    return made.eval()


def data() -> Tensor:
    return torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("element", range(ELEMENTS))
def test_every_turn_is_inverted_and_differs(element: int) -> None:
    x = data()
    assert torch.equal(turn_back(turn(x, element), element), x)
    square = x[..., :12, :12]
    assert all(not torch.equal(turn(square, element), turn(square, e)) for e in range(element))


@pytest.mark.parametrize("element", range(ELEMENTS))
def test_a_turned_likelihood_is_that_of_turned_data(element: int) -> None:
    """Seen by an operator without direction, turning the image is turning the data."""
    likelihood = Gaussian(Identity(SHAPE), data(), 0.1)
    y = turn(data(), element)
    expected = Gaussian(Identity(y.shape[-2:]), y, 0.1)
    x = torch.rand(y.shape, generator=torch.Generator().manual_seed(2))
    turned = Turned(likelihood, element)
    assert torch.allclose(turned.score(x), expected.score(x))
    assert torch.allclose(turned.curvature(x, x), expected.curvature(x, x))
    assert torch.allclose(turned.steepness(x, x), expected.steepness(x, x))
    assert turned.zeros().shape == x.shape
    assert torch.allclose(turned.information(), expected.information().expand(x.shape))


@torch.no_grad()
def test_the_mean_turns_with_the_data() -> None:
    network = rim()
    upright = ensemble(network, Gaussian(Identity(SHAPE), data(), 0.1))
    assert len(upright) == 2
    alone = network(Gaussian(Identity(SHAPE), data(), 0.1))
    assert not torch.allclose(upright[-1], alone[-1], atol=1e-5)
    for element in (1, 4, 6):
        y = turn(data(), element)
        turned = ensemble(network, Gaussian(Identity(y.shape[-2:]), y, 0.1))
        assert torch.allclose(turned[-1], turn(upright[-1], element), atol=1e-5)


@torch.no_grad()
def test_any_operator_may_be_behind_it() -> None:
    blur = Convolution(gaussian_psf(2.0), SHAPE, "reflect")
    y = blur(data())
    assert ensemble(rim(), Gaussian(blur, y, 0.05))[-1].shape == y.shape
