"""Pages as the KFP UI shows them, in a real browser: they complain of nothing and ask nobody for anything."""

from pathlib import Path

import pytest

from storm_core.pages.page import render_page
from storm_core.stages import STAGES
from tests.integration.browser import show
from tests.pages.samples import hostile, sample

pytestmark = pytest.mark.cluster

# Of the panel in which the UI shows a page, in pixels.
NARROW = 600


@pytest.mark.parametrize("verb", STAGES)
def test_page_of_every_stage_opens_clean_and_fits(verb: str, tmp_path: Path) -> None:
    page = render_page(sample(verb, tmp_path, in_frame=True))
    shown = show(page, width=NARROW)
    assert shown.errors == []
    assert shown.requests == []
    assert shown.width == NARROW
    assert "What it wrote" in shown.text


@pytest.mark.parametrize(
    ("page", "asked"),
    [
        ("<img src='https://outside.example/x.png'>", "https://outside.example/x.png"),
        ("<link rel='stylesheet' href='https://outside.example/x.css'>", "https://outside.example/x.css"),
        ("<style>body {background: url(http://outside.example/y.png)}</style>", "http://outside.example/y.png"),
        ("<script>fetch('https://outside.example/z')</script>", "https://outside.example/z"),
    ],
)
def test_what_a_page_takes_from_outside_is_caught(page: str, asked: str) -> None:
    assert asked in show(f"<body>text{page}").requests


def test_what_a_page_complains_of_is_caught() -> None:
    shown = show("<script>console.error('no bread'); unknown()</script>")
    assert shown.requests == []
    assert len(shown.errors) == 2
    assert "no bread" in shown.errors


def test_links_within_a_page_stay_within_it(tmp_path: Path) -> None:
    link = '<a href="#run-outputs">outputs</a><main>'
    page = render_page(sample("scan", tmp_path, in_frame=True)).replace("<main>", link)
    shown = show(page, click="a")
    assert shown.requests == []
    assert "What it wrote" in shown.text
    assert show(page.replace('<base href="about:srcdoc">', ""), click="a").requests == [
        "http://kfp.example/#run-outputs"
    ]


def test_what_names_and_texts_hold_is_shown_and_never_done(tmp_path: Path) -> None:
    for verb in ("score", "select", "evaluate"):
        shown = show(render_page(hostile(verb, tmp_path)))
        assert shown.errors == shown.requests == []
        assert "<img src=x onerror=fetch(" in shown.text, verb
