"""Pairs of a data card: one text in two paths, and no noisy image without a clean one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.data_card import load_data_card
from rimaging.datasets.pairs import Pairs, find_pairs
from rimaging.errors import CardError

TEXT = st.text("abc/_.", max_size=6)


@given(TEXT, TEXT, TEXT, TEXT, TEXT)
def test_the_star_is_the_same_text_in_both(a: str, b: str, c: str, d: str, name: str) -> None:
    pairs = Pairs(f"{a}*{b}", f"{c}*{d}")
    assert pairs.partner(f"{a}{name}{b}") == (name, f"{c}{name}{d}")
    assert not a or pairs.partner(f"x{a}{name}{b}") is None


def test_what_begins_and_ends_with_the_same_letters_is_no_name() -> None:
    assert Pairs("ab*ba", "c*").partner("aba") is None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"noisy": "n/*", "clear": "c/*"}, "did you mean 'clean'"),
        ({"noisy": "n/*"}, "lacks clean"),
        ({"noisy": "n/a", "clean": "c/*"}, r"'noisy' .* 'n/a', expected a path with one \*"),
        ({"noisy": "n/*", "clean": "*/*"}, r"'clean' .* expected a path with one \*"),
        ({"noisy": "n/*", "clean": 3}, "'clean' .* is 3"),
        ({"noisy": "m/*", "clean": "c/*"}, "matches no file"),
        ({"noisy": "n/*", "clean": "d/*"}, "has n/a and lacks d/a"),
    ],
)
def test_mistakes_are_named(table: dict[str, object], words: str) -> None:
    with pytest.raises(CardError, match=words):
        find_pairs(table, ["n/a", "c/a"], "mine")


CARD = """
title = "t"
source = "s"
licence = "l"
reader = "measurement"
[split]
train = ["n/a", "n/b[0:2]", "n/l", "c/*"]
validation = ["n/v"]
[[leaks]]
files = ["c/l"]
reason = "in a test"
[pairs]
noisy = "n/*"
clean = "c/*"
[files]
"""


def test_a_pair_is_of_the_split_of_its_noisy_file_and_leaks_with_either(tmp_path: Path) -> None:
    files = [f'"{side}/{name}" = "{ord(name):064x}"\n' for side in "nc" for name in "ablv"]
    (tmp_path / "mine.toml").write_text(CARD + "".join(files))
    card = load_data_card(tmp_path / "mine.toml")
    train = card.paired("train")
    assert [(name, n.path, c.path) for name, n, c in train] == [
        ("a", "n/a", "c/a"),
        ("b", "n/b", "c/b"),
    ]
    assert [(n.start, n.stop) == (c.start, c.stop) for _, n, c in train] == [True, True]
    assert train[1][2].stop == 2
    assert [name for name, _, _ in card.paired("validation")] == ["v"]


def test_a_card_of_single_images_has_no_pairs() -> None:
    with pytest.raises(CardError, match=r"'bsds300' says not which files are pairs"):
        load_data_card("bsds300").paired("train")


def test_those_of_w2s_are_all_its_images() -> None:
    card = load_data_card("w2s")
    found = [pair for split in card.splits for pair in card.paired(split)]  # type: ignore[arg-type]
    assert {item.path for _, *items in found for item in items} == card.files.keys()
