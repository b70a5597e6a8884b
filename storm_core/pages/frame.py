"""What every page has: which stage ran, on what, with which options, its numbers and its outputs."""

import dataclasses
from typing import Any

from storm_core.heartbeat import in_words
from storm_core.introduction import option_text
from storm_core.pages.finished import Finished
from storm_core.pages.parts import MOST_ROWS, Part, fill, number_in_words, page_text
from storm_core.reporting.style.pages import style_sheet


def frame_of(finished: Finished, part: Part | None, trouble: str) -> str:
    """The whole page: the stage's own part, or why it has none, and what all pages have."""
    run = fill("run.html.jinja", _run(finished))
    if part and part.document:
        styled = part.document.replace("</head>", f"<style>\n{page_text('run.css')}</style>\n</head>", 1)
        before, end, after = styled.rpartition("</main>")
        return f"{before}{run}{end}{after}"
    values = {
        "finished": finished,
        "style": style_sheet(page_text("page.css") + page_text("run.css")),
        "part": part.html if part else "",
        "trouble": trouble,
        "run": run,
    }
    return str(fill("frame.html.jinja", values))


def _run(finished: Finished) -> dict[str, Any]:
    """What the section on the run tells."""
    return {
        "finished": finished,
        "took": in_words(finished.seconds),
        "version": finished.manifest.producer.get("version", ""),
        "numbers": {name: number_in_words(value) for name, value in finished.metrics.items()},
        "inputs": _inputs(finished),
        "options": _options(finished),
        "outputs": [_output(finished, name) for name in finished.outputs],
        "most_rows": MOST_ROWS,
    }


def _inputs(finished: Finished) -> list[dict[str, Any]]:
    """Every artifact that was read: the input's name, its meaning and kind, digest, and what named it."""
    manifest, rows = finished.manifest, []
    for name, digests in manifest.inputs.items():
        declared = finished.stage.inputs.get(name)
        references = manifest.references.get(name) or [""] * len(digests)
        for digest, reference in zip(digests, references, strict=False):
            about = {"help": declared.help, "kind": declared.kind} if declared else {"help": "", "kind": ""}
            rows.append({"name": name, **about, "digest": digest, "reference": reference})
    return rows


def _options(finished: Finished) -> list[dict[str, Any]]:
    """Every option, and whether it has its default; those that have not come first."""
    defaults = {field.name: field.default for field in dataclasses.fields(finished.stage.config)}
    rows = [
        {"name": name, "value": option_text(value), "default": option_text(defaults.get(name)) == option_text(value)}
        for name, value in finished.config.items()
    ]
    return sorted(rows, key=lambda row: bool(row["default"]))


def _output(finished: Finished, name: str) -> dict[str, Any]:
    manifest = finished.outputs[name]
    return {
        "name": name,
        "kind": manifest.kind,
        "help": finished.stage.outputs[name].help,
        "digest": manifest.digest,
        "reference": finished.references[name],
        "files": [{"path": entry.path, "size": entry.size} for entry in manifest.files],
        "size": sum(entry.size for entry in manifest.files),
    }
