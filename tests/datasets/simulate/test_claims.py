"""A card claims what its sampler draws; nothing that it says is left aside in silence."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import pytest

from rimaging.catalogue import card_folder
from rimaging.datasets.operator_card import OperatorCard, load_operator_card
from rimaging.datasets.simulate import SAMPLERS
from rimaging.datasets.simulate.claims import check_claims, operators
from rimaging.errors import CardError

CARDS = sorted(path.stem for path in card_folder("operators").glob("*.toml"))
BY_SAMPLER = {load_operator_card(name).sampler: load_operator_card(name) for name in CARDS}


@pytest.mark.parametrize("name", CARDS)
def test_the_cards_of_the_catalogue_hold_what_they_claim(name: str) -> None:
    card = load_operator_card(name)
    check_claims(card)
    assert card.operator in (*operators(card), "any")


def test_every_sampler_has_a_card() -> None:
    assert BY_SAMPLER.keys() == SAMPLERS.keys()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("claimed", ["mypkg:RunningSum", "nufft", ""])
def test_no_sampler_takes_an_operator_that_it_does_not_draw(sampler: str, claimed: str) -> None:
    card = replace(BY_SAMPLER[sampler], operator=claimed)
    with pytest.raises(CardError, match=f"has operator '{claimed}', but its sampler '{sampler}'"):
        check_claims(card)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_sampler_takes_a_parameter_or_a_noise_of_which_it_knows_nothing(sampler: str) -> None:
    card = BY_SAMPLER[sampler]
    with pytest.raises(CardError, match=r"\[noise\], but its sampler"):
        check_claims(replace(card, noise={"kind": "poisson"}))
    defaults = import_module(f"rimaging.datasets.simulate.{sampler}").DEFAULTS
    for name in [*defaults, "unheard"]:
        with pytest.raises(CardError, match=f"does not know '{name}_'"):
            check_claims(replace(card, parameters={**card.parameters, f"{name}_": 1.0}))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_words_are_no_numbers_and_numbers_no_words(sampler: str) -> None:
    card = BY_SAMPLER[sampler]
    defaults = import_module(f"rimaging.datasets.simulate.{sampler}").DEFAULTS
    for name in defaults:
        for wrong in ({"choice": [1, "a"]}, [1, 2], None):
            with pytest.raises(CardError, match=f"'{name}' in"):
                check_claims(replace(card, parameters={**card.parameters, name: wrong}))


def test_a_misspelt_parameter_gets_the_nearest() -> None:
    card = replace(BY_SAMPLER["photographs"], parameters={"sgima": 25})
    with pytest.raises(CardError, match="'sgima': did you mean 'sigma'"):
        check_claims(card)


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan"), float("inf")])
def test_shares_of_pictures_say_their_operator(share: float) -> None:
    card = OperatorCard("mine", "sampling", sampler="pictures", parameters={"sampling": 2})
    check_claims(card)
    with pytest.raises(CardError, match='draws convolution, sampling: write operator = "any"'):
        check_claims(replace(card, parameters={"sampling": 2, "convolution": 1}))
    with pytest.raises(CardError, match="share above zero"):
        check_claims(replace(card, parameters={"sampling": share}))
