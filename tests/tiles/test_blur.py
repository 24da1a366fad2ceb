"""A block is blurred as it is in the whole image, wherever it lies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rimaging.datasets.varying_psf import Grid as Nodes
from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.mosaic.tiles import Grid
from rimaging.operators.convolution import Convolution
from rimaging.operators.target import gaussian_psf, relative_kernel
from rimaging.operators.varying_convolution import VaryingConvolution
from rimaging.tiles.blur import VaryingBlur, pack_blur, unpack_blur

CPU = torch.device("cpu")
Field = Callable[[str], VaryingPsf]
EVERYTHING = (slice(0, 1), slice(0, 24), slice(0, 400))
KINDS = pytest.mark.parametrize("kind", ["nodes", "polynomial"])


@KINDS
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=6)
@given(start=st.integers(0, 340), width=st.integers(30, 60))
def test_a_block_is_the_whole_but_for_its_edges(
    kind: str, field: Field, start: int, width: int
) -> None:
    blur = unpack_blur(pack_blur(field(kind), 1.0), CPU)
    sky = torch.rand(1, 24, 400, generator=torch.Generator().manual_seed(start))
    whole, columns = blur.operator(EVERYTHING)(sky), slice(start, min(start + width, 400))
    block = blur.operator((slice(0, 1), slice(0, 24), columns))(sky[..., columns])
    reach = blur.radius[1]
    first = 0 if start == 0 else reach
    last = block.shape[-1] - (0 if columns.stop == 400 else reach)
    expected = whole[..., columns][..., first:last]
    assert torch.allclose(block[..., first:last], expected, rtol=0, atol=2e-6)


@KINDS
def test_it_is_that_of_the_door(kind: str, field: Field) -> None:
    from rimaging import astro

    sky = torch.rand(24, 400)
    blur = unpack_blur(pack_blur(field(kind), 1.0), CPU)
    expected = astro.varying_operator(field(kind).relative(1.0), sky)(sky)
    assert torch.allclose(blur.operator(EVERYTHING)(sky[None])[0], expected, atol=1e-6)


def test_where_nothing_changes_one_kernel_does(field: Field) -> None:
    psf = gaussian_psf(2.5)
    same = VaryingPsf(torch.stack((psf, 3 * psf)), Nodes((0.0,), (0.0, 500.0)), "same")
    operator = VaryingBlur(same, CPU).operator(EVERYTHING)
    assert isinstance(operator, Convolution)
    sky = torch.rand(1, 24, 400)
    fixed = unpack_blur(pack_blur(psf[None], 0.0), CPU).operator(EVERYTHING)
    assert torch.allclose(operator(sky), fixed(sky), atol=1e-6)
    nodes, polynomial = (VaryingBlur(field(kind), CPU) for kind in ("nodes", "polynomial"))
    narrow = (slice(0, 1), slice(0, 8), slice(384, 400))  # beyond the last node
    assert isinstance(nodes.operator(narrow), Convolution)
    for blur, place, terms in (
        (nodes, (slice(0, 1), slice(0, 8), slice(200, 220)), 2),
        (nodes, EVERYTHING, 6),
        (polynomial, narrow, 3),
    ):
        found = blur.operator(place)
        assert isinstance(found, VaryingConvolution) and len(found.psfs) == terms


@given(st.sampled_from([16, 40, 160, 400]), st.sampled_from([0, 8, 40]))
def test_the_plan_counts_the_terms_of_the_worst_block(unit: int, halo: int) -> None:
    images = torch.stack(
        [gaussian_psf(2 + i / 10).new_ones(3, 3) + i * torch.eye(3) for i in range(6)]
    )
    places = (0.0, 50.0, 120.0, 190.0, 310.0, 380.0)
    blur = VaryingBlur(VaryingPsf(images, Nodes((10.0,), places), "field"), CPU)
    grid = Grid((1, 24, 400), (1, 24, unit), halo)
    most = 1
    for each in grid:
        found = blur.operator(each.block)
        most = max(most, len(found.psfs) if isinstance(found, VaryingConvolution) else 1)
    assert most <= blur.terms(grid) <= most + 1


def test_a_packed_model_is_the_model(field: Field) -> None:
    psf = field("nodes").moved((3, 17))
    blur = unpack_blur(pack_blur(psf, 1.2), CPU)
    assert isinstance(blur, VaryingBlur)
    assert torch.equal(blur.kernel.at(2, 99), psf.relative(1.2).at(2, 99))
    many = torch.stack([gaussian_psf(3.0)] * 70)
    packed = unpack_blur(pack_blur(many, 2.0), CPU)
    assert torch.equal(packed.kernels((9, 9)), relative_kernel(many, 2.0))
