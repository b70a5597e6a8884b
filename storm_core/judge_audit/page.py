"""The audit as one HTML page that needs nothing else; no script is in it, and nothing of an example becomes markup."""

import itertools
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from storm_core.judge_audit.checks import NO_TRUST, TRUSTED
from storm_core.records import Example
from storm_core.reporting.style.pages import page_template, percent, style_sheet
from storm_core.verdicts.schema import NO_ANSWER

CUT = "\n[... cut here ...]\n"
_SHORT_LABEL = 12
_KINDS = {TRUSTED: "passed", NO_TRUST: "failed"}


def render_page(contents: Mapping[str, Any], examples: Mapping[str, Example], shown_characters: int) -> str:
    """The HTML of an audit.

    Args:
        contents: as `collect` returns them.
        examples: by ID, all that `contents` shows.
        shown_characters: most text of an example.
    """
    filters = {"number": _number, "measured": measured, "label": _label_in_words}
    return page_template(_package_text("judge.html.jinja"), filters).render(
        **contents,
        style=style_sheet(_package_text("judge.css")),
        kind=_KINDS.get(contents["verdict"], "care"),
        label_bars=label_bars,
        value_bars=value_bars,
        entropy_bars=entropy_bars,
        length_bars=length_bars,
        anchor=anchor,
        text_of=lambda content_id: shown_text(examples[content_id], shown_characters),
    )


def anchor(rubric: Mapping[str, Any], label: str) -> str:
    """The id, in the page, of the examples with this label; made from its place, for a label may be any text."""
    place = "none" if label == NO_ANSWER else str(rubric["labels"].index(label) + 1)
    return f"{rubric['name']}-{place}"


def label_bars(rubric: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A bar for each label, and for no answer where there was none, that leads to the examples of the label."""
    counts = dict(numbers["labels"])
    if numbers["unanswered"]:
        counts[NO_ANSWER] = numbers["unanswered"]
    bars = _shares_as_bars([_label_in_words(label) for label in counts], list(counts.values()))
    total = numbers["verdicts"]
    return [
        {**bar, "href": f"#{anchor(rubric, label)}", "note": f"{100 * count / total:.0f}%"}
        for bar, (label, count) in zip(bars, counts.items(), strict=True)
    ]


def value_bars(rubric: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A bar for each bin of the expected value, named by its lower edge where that is a whole number."""
    edges = rubric["histogram_edges"]
    names = [f"{edge:g}" if float(edge).is_integer() else "" for edge in edges[:-1]]
    bars = _shares_as_bars(names, numbers["expected_value_histogram"])
    ranges = itertools.pairwise(edges)
    return [
        {**bar, "title": f"{low:g} to {high:g}: {bar['title']}"} for bar, (low, high) in zip(bars, ranges, strict=True)
    ]


def entropy_bars(rubric: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A bar for each bin of the answers' entropy, from none to that of a guess; the first and the last are named."""
    counts, most = numbers["entropy_histogram"], rubric["max_entropy_bits"]
    edges = [most * place / len(counts) for place in range(len(counts) + 1)]
    names = ["0", *[""] * (len(counts) - 2), f"{most:.2f}"]
    bars = _shares_as_bars(names, counts)
    ranges = itertools.pairwise(edges)
    return [
        {**bar, "title": f"{low:.2f} to {high:.2f} bits: {count:,}"}
        for bar, (low, high), count in zip(bars, ranges, counts, strict=True)
    ]


def length_bars(rubric: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A bar for each tenth of the examples by length, as high as their mean expected value."""
    low, high = min(rubric["values"]), max(rubric["values"])
    span = high - low or 1.0
    return [
        {
            "name": f"{group['low']:g}",
            "title": f"{group['low']:g} to {group['high']:g} tokens, {group['examples']} examples: {group['mean']:.2f}",
            "note": _number(group["mean"]),
            "height": min(1.0, max(0.0, (group["mean"] - low) / span)),
            "href": None,
        }
        for group in numbers["mean_by_length"]
    ]


def shown_text(example: Example, limit: int) -> str:
    """The turns of an example with their roles; of a text longer than `limit` characters the start and the end."""
    text = "\n\n".join(f"{message.role}: {message.content}" for message in example.messages)
    if len(text) <= limit:
        return text
    return text[: limit - limit // 2] + CUT + text[len(text) - limit // 2 :]


def measured(given: Mapping[str, Any] | None) -> str:
    """An estimate with its interval: `0.41 (0.30 to 0.52)`."""
    if given is None or given["estimate"] is None:
        return "unknown"
    value = _number(given["estimate"])
    if not given["interval"]:
        return value
    low, high = map(_number, given["interval"])
    return f"{value} ({low} to {high})"


def _shares_as_bars(names: list[str], counts: list[int]) -> list[dict[str, Any]]:
    """As high as their share of the highest, and titled with name, count and share of all."""
    total, highest = sum(counts) or 1, max(counts, default=0) or 1
    return [
        {
            "name": name if len(name) <= _SHORT_LABEL else f"{name[: _SHORT_LABEL - 1]}…",
            "title": f"{name}{': ' if name else ''}{count:,} ({percent(count / total)})",
            "note": "",
            "height": count / highest,
            "href": None,
        }
        for name, count in zip(names, counts, strict=True)
    ]


def _label_in_words(label: str) -> str:
    return label or "no answer"


def _number(value: float | None) -> str:
    """Two digits after the point, and no minus before a zero; counts as they are."""
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{round(value, 2) + 0.0:.2f}"


def _package_text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
