"""A report stands alone, says nothing private, escapes everything and stays small."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rimaging.errors import DataError, ShapeError
from rimaging.reports.diagnostics import diagnose
from rimaging.reports.html import (
    MAX_BYTES,
    MAX_SIDE,
    Comparison,
    Method,
    Picture,
    report,
    save_report,
)

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)> \"'&{{ 7 * 7 }}"


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def pictures(self) -> list[Image.Image]:
        sources = [attrs["src"] or "" for tag, attrs in self.tags if tag == "img"]
        data = [source.removeprefix("data:image/png;base64,") for source in sources]
        return [Image.open(io.BytesIO(base64.b64decode(d, validate=True))) for d in data]


def full_report(text: str = "plain", size: int = 40) -> str:
    generator = np.random.default_rng(0)
    image = generator.random((size, size))
    return report(
        text,
        summary=text,
        comparison=Comparison(
            before=image, after=image / 2, kind="kspace", labels=(text, text), caption=text
        ),
        facts={text: text},
        methods=[Method(name=text, psnr=30.0), Method(name="other", psnr=20.0, seconds=1.0)],
        diagnostics=diagnose(generator.normal(size=(32, 32))),
        pictures=[Picture(title=text, image=image, caption=text)],
        provenance={text: text, "nested": {text: [text]}},
        citation=text,
    )


def test_text_is_escaped_wherever_it_goes() -> None:
    plain, evil = Page(full_report("plain")), Page(full_report(EVIL))
    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in plain.tags]
    assert [set(attrs) for _, attrs in evil.tags] == [set(attrs) for _, attrs in plain.tags]
    assert evil.text.count(EVIL) >= 10
    assert "49" not in evil.text.replace("149", "")


@given(text=st.text(max_size=40))
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    page = report("t", facts={text: text}, provenance={"k": text}, citation="c" + text)
    assert [tag for tag, _ in Page(page).tags] == [
        tag
        for tag, _ in Page(report("t", facts={"a": "b"}, provenance={"k": "v"}, citation="c")).tags
    ]


def test_nothing_comes_from_elsewhere() -> None:
    page = full_report()
    assert re.search(r"https?:|//[a-z]|@import|url\(", page) is None
    tags = Page(page).tags
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in tags}
    for _, attributes in tags:
        assert (attributes.get("src") or "data:").startswith("data:image/png;base64,") or (
            "src" not in attributes
        )
    policy = next(a["content"] for _, a in tags if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_the_policy_admits_the_page_s_own_style_and_script() -> None:
    from hashlib import sha256

    page = full_report()
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page


def test_without_a_script_both_images_are_there() -> None:
    page = Page(full_report())
    labels = [attrs.get("alt") for tag, attrs in page.tags if tag == "img"]
    assert labels[:2] == ["plain", "plain"]
    assert "input" not in {tag for tag, _ in page.tags}


def test_pictures_are_small_and_so_is_the_page() -> None:
    noise = np.random.default_rng(1).random((1500, 1100))
    page = report("one", pictures=[Picture(title="a", image=noise)])
    (shown,) = Page(page).pictures()
    assert max(shown.size) == MAX_SIDE
    assert shown.width / shown.height == pytest.approx(1100 / 1500, rel=0.01)
    many = report("many", pictures=[Picture(title=str(i), image=noise) for i in range(6)])
    assert len(many.encode()) <= MAX_BYTES
    assert len(Page(many).pictures()) == 6


def test_too_many_pictures_are_refused() -> None:
    noise = np.random.default_rng(1).random((256, 256))
    with pytest.raises(DataError, match="fewer than 60"):
        report("many", pictures=[Picture(title=str(i), image=noise) for i in range(60)])


def test_a_small_image_is_not_enlarged_and_keeps_its_values() -> None:
    image = torch.linspace(0, 1, 256).reshape(16, 16)
    (shown,) = Page(report("t", pictures=[Picture(title="a", image=image)])).pictures()
    np.testing.assert_array_equal(np.asarray(shown), np.arange(256).reshape(16, 16))


def test_the_slider_shows_both_on_the_scale_of_the_second() -> None:
    after = np.random.default_rng(0).random((32, 32)) + 0.5
    pair = Comparison(before=after / 2, after=after, kind="kspace")
    before, later = (np.asarray(p, float) for p in Page(report("t", comparison=pair)).pictures())
    unclipped = later < 255
    np.testing.assert_allclose(before[unclipped], later[unclipped] / 2, atol=1)
    with pytest.raises(ShapeError, match="slider"):
        report("t", comparison=Comparison(before=after[1:], after=after, kind="kspace"))


def test_persons_are_left_out_and_counted() -> None:
    provenance = {
        "PatientName": "Doe^Jane",
        "header": {"patient_id": "12345", "BirthDate": "19700101", "TELESCOP": "HST"},
        "nifti": [{"db_name": "Jane", "dim": 3}],
        "subjectInformation": {"weight_kg": 71},
        "source": Path("/data/jane/scan.h5"),
    }
    text = Page(report("t", provenance=provenance)).text
    for private in ("Doe", "12345", "19700101", "Jane", "jane", "71", "/data"):
        assert private not in text
    assert "5 entries about a person left out" in text
    assert "HST" in text
    assert "scan.h5" in text


def test_the_best_of_each_column_is_marked() -> None:
    methods = [
        Method(name="zero-filled", psnr=25.0, ssim=0.7, seconds=0.01),
        Method(name="wavelet", psnr=33.001, ssim=0.9, seconds=12.0),
        Method(name="rim", psnr=33.004, ssim=0.95),
    ]
    page = report("t", methods=methods)
    best = re.findall(r'class="best" title="best">([^<]*)<', page)
    assert best == ["0.01", "33.00", "33.00", "0.9500"]
    alone = report("t", methods=methods[:1])
    assert 'title="best"' not in alone
    assert "SSIM" not in report("t", methods=[Method(name="a", psnr=1.0)])


def test_verdicts_are_told_in_words() -> None:
    residual = np.random.default_rng(0).normal(size=(64, 64))
    good = report("t", diagnostics=diagnose(residual))
    assert "The residual is white: the data are explained to the noise." in good
    bad = report("t", diagnostics=diagnose(1.35 * residual))
    assert '<li class="warning"><span>chi2 1.8' in bad


def test_a_report_is_written_whole(tmp_path: Path) -> None:
    page = report("Überblick σ")
    path = save_report(tmp_path / "r.html", page)
    assert path.read_text(encoding="utf-8") == page
    assert [found.name for found in tmp_path.iterdir()] == ["r.html"]
