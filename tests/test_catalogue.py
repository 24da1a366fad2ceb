from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from rimaging import catalogue
from rimaging.errors import CardError


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_every_card_is_toml_and_no_python_hides_among_them(kind: str) -> None:
    folder = catalogue.card_folder(kind)
    cards = sorted(folder.glob("*.toml"))
    assert cards
    for card in cards:
        assert tomllib.loads(card.read_text(encoding="utf-8")), card
    assert not list(folder.rglob("*.py"))


def test_an_installed_package_finds_its_own_cards_and_not_a_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "rimaging"
    neighbour = package.parent / "datasets"
    own = package / "_cards" / "datasets"
    for folder in (neighbour, own):
        folder.mkdir(parents=True)
    monkeypatch.setattr(catalogue, "__file__", str(package / "catalogue.py"))
    assert catalogue.card_folder("datasets") == own
    with pytest.raises(CardError, match="reinstall"):
        catalogue.card_folder("operators")


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CardError, match="operators, datasets"):
        catalogue.card_folder("networks")
