"""What `gate` decided: every rule and how it came out."""

from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import Part, part_of


def decision_part(outputs: OutputFiles) -> Part:
    """The decision, its rules, and the mean score of every model."""
    return part_of("decision.html.jinja", {"decision": outputs.json("decision", "decision.json")})
