"""What `register` did: the versions, and the aliases that lead to them."""

from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import Part, part_of


def versions_part(outputs: OutputFiles) -> Part:
    """The table of versions."""
    return part_of("registration.html.jinja", outputs.json("registration", "registration.json"))
