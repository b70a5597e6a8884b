"""Stages that write a page themselves: theirs is that page, with what all pages have at its end."""

from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import Part


def report_part(outputs: OutputFiles) -> Part:
    """The report on the run."""
    return Part(document=outputs.file("report", "report.html").read_text(encoding="utf-8"))


def audit_part(outputs: OutputFiles) -> Part:
    """The report on the judge."""
    return Part(document=outputs.file("audit", "judge.html").read_text(encoding="utf-8"))
