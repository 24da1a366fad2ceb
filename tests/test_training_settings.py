"""Settings are of the kind of their default and within range, or refused by name."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest

from rimaging.errors import CardError
from rimaging.experiment import load_experiment
from rimaging.rim.config import RIMConfig
from rimaging.rim.training_config import TrainingConfig
from rimaging.training_settings import MODEL, TRAINING, check_ranges

NAMES = [*MODEL, *TRAINING]


def refused(name: str, value: Any) -> bool:
    try:
        check_ranges({name: value}, "here: ", CardError)
    except CardError as error:
        assert str(error).startswith(f"here: {name} is {value!r}, expected ")
        assert "\n" not in str(error)
        return True
    return False


def test_defaults_and_the_cards_are_within_range() -> None:
    check_ranges({**asdict(RIMConfig()), **asdict(TrainingConfig())}, "", CardError)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["x", None, [], math.nan, 2**70, -(2**70), -math.inf])
def test_no_setting_takes_what_is_none(name: str, value: Any) -> None:
    # (a rate, a weight or a limit may be as large as it likes, if it is a number)
    number = isinstance({**MODEL, **TRAINING}[name], float) and value == 2**70
    assert refused(name, value) or (number and name not in ("learning_rate", "ema"))


@pytest.mark.parametrize("name", NAMES)
def test_true_and_1_are_not_the_same(name: str) -> None:
    flag = isinstance({**MODEL, **TRAINING}[name], bool)
    assert refused(name, True) != flag
    assert not flag or refused(name, 1)


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("ema", 2.0, 1),
        ("clip", 0.0, math.inf),
        ("warmup", -3, 0),
        ("minutes", math.inf, 0.5),
        ("learning_rate", 1, 2e-3),
        ("size", 15, 16),
        ("fine", 0, 1),
        ("seed", 0.0, -1),
        ("unit", "lstm", "gru"),
        ("floor", -1e-9, 0),
    ],
)
def test_ranges_end_where_they_say(name: str, wrong: Any, right: Any) -> None:
    assert refused(name, wrong)
    assert not refused(name, right)


@pytest.mark.parametrize(
    ("table", "line"), [("model", 'fine = "8"'), ("training", 'learning_rate = "x"')]
)
def test_a_card_is_named_with_its_table_and_key(tmp_path, table: str, line: str) -> None:  # type: ignore[no-untyped-def]
    card = tmp_path / "mine.toml"
    card.write_text(f'operator = "identity"\nsampler = "photographs"\n[{table}]\n{line}\n')
    key, _, value = line.partition(" = ")
    with pytest.raises(CardError) as caught:
        load_experiment(card)
    assert f"[{table}] of card 'mine': {key} is '{value[1:-1]}'" in str(caught.value)


def test_a_network_couples_the_channels_that_there_are(tmp_path) -> None:  # type: ignore[no-untyped-def]
    card = tmp_path / "mine.toml"
    text = 'operator = "identity"\nsampler = "photographs"\n[parameters]\ncolour = {}\n'
    for colour, channels, fits in ((0, 1, True), (0, 2, False), (1, 1, True), (1, 3, True)):
        card.write_text(text.format(colour))
        if fits:
            assert load_experiment(card, (), {"channels": channels}).model.channels == channels
        else:
            with pytest.raises(CardError, match="couples 2 channels, but its images have 1"):
                load_experiment(card, (), {"channels": channels})
