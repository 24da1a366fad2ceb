"""Whoever follows a link of the documentation arrives, and what it counts is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rimaging.rim.weights import load_weights, shipped

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} does not exist"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def cards() -> dict[str, dict[str, Any]]:
    return {name: load_weights(name)[1] for name in shipped()}


def test_what_the_weights_cost_is_what_their_cards_say() -> None:
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    page = page.partition("## What the shipped weights cost")[2]
    for name, card in cards().items():
        (row,) = re.findall(rf"^\| `{name}` \| .* \| .* \| (.*) \|$", page, re.MULTILINE)
        said = re.findall(r"\d+\.\d+", row)[-1]
        psnr = card["figures"]["validation_psnr"]
        assert said == f"{psnr:.{len(said.partition('.')[2])}f}", name


def test_the_sizes_of_the_networks_are_those_of_the_first_page() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    ((least, most),) = re.findall(r"one core of ([\d.]+) to ([\d.]+) million values", page)
    sizes = []
    for name in shipped():
        rim, _ = load_weights(name)
        sizes.append(sum(p.numel() for n, p in rim.named_parameters() if "error" not in n))
    assert (least, most) == (f"{min(sizes) / 1e6:.2f}", f"{max(sizes) / 1e6:.1f}")


def test_the_changelog_says_each_thing_once() -> None:
    page = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for version in page.split("\n## ")[1:]:
        kinds = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert len(kinds) == len(set(kinds)), kinds
        entries = re.findall(r"^- .+$", version, re.MULTILINE)
        assert len(entries) == len(set(entries))
        assert "\n\n- " not in version, "an empty line splits a list"
