"""One HTML page on what a stage did, rendered from what it left: a reused result has the same page.

A page needs nothing else: its style and figures are in it, it has no script, and its own policy forbids it to load
anything. It is shown, never part of an artifact; so nothing here decides a result.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path

from storm_core.errors import InputError, StoreError
from storm_core.pages.finished import Finished
from storm_core.pages.frame import frame_of
from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import Part
from storm_core.progress import report

# What a browser shows at once, and KFP's UI hands through its own server.
MAX_BYTES = 1_000_000
# Without it the links within a page lead to the page around it: those of `srcdoc` are relative to that.
_HEAD_IN_FRAME = '<head>\n<base href="about:srcdoc">'
# By verb: what draws the part that its page alone has, called with the `OutputFiles`. The other stages write a model,
# of which nothing is to be seen but its numbers. Named as text: Matplotlib is loaded by those alone that draw with it.
PARTS: Mapping[str, str] = {
    "prepare": "storm_core.pages.curation:sources_part",
    "score": "storm_core.pages.verdicts:verdicts_part",
    "select": "storm_core.pages.curation:selection_part",
    "audit": "storm_core.pages.documents:audit_part",
    "scan": "storm_core.pages.scan:scan_part",
    "train": "storm_core.pages.training:training_part",
    "quantize": "storm_core.pages.quantization:sizes_part",
    "evaluate": "storm_core.pages.evaluation:scores_part",
    "gate": "storm_core.pages.decision:decision_part",
    "register": "storm_core.pages.registration:versions_part",
    "report": "storm_core.pages.documents:report_part",
}


def write_page(file: Path, finished: Finished) -> None:
    """Write the page to `file`. The stage's result is kept already, whatever becomes of the page.

    Where the outputs cannot be read for it, or it would be too large, the page says so in place of the figure.
    """
    try:
        page = render_page(finished)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        report(f"{finished.name}: no page was written: {error.strerror}: {error.filename or file}", "warning")


def render_page(finished: Finished) -> str:
    """The HTML, of at most `MAX_BYTES`."""
    part, trouble = _part(finished)
    page = frame_of(finished, part, trouble)
    if (size := len(page.encode())) > MAX_BYTES:
        trouble = f"with it the page has {size / 1e6:.1f} MB, and {MAX_BYTES / 1e6:.0f} MB is the most; see the outputs"
        page = frame_of(finished, None, trouble)
    if trouble:
        report(f"{finished.name}: the page has no figure: {trouble}", "warning")
    return page.replace("<head>", _HEAD_IN_FRAME, 1) if finished.in_frame else page


def _part(finished: Finished) -> tuple[Part | None, str]:
    """What this stage's page alone has; or nothing, and why it cannot be shown."""
    if finished.stage.verb not in PARTS:
        return None, ""
    module, _, function = PARTS[finished.stage.verb].partition(":")
    try:
        with OutputFiles(finished) as outputs:
            part: Part = getattr(importlib.import_module(module), function)(outputs)
            return part, ""
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        return None, "Matplotlib is not installed; install 'storm-kubeflow[report]'"
    except (InputError, StoreError, OSError) as error:
        return None, str(error)
