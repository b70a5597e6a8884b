"""What `quantize` saved: the size of the weights before and after."""

from storm_core.pages.output_files import OutputFiles
from storm_core.pages.parts import Part, part_of


def sizes_part(outputs: OutputFiles) -> Part:
    """Two bars, and the error that quantization makes."""
    return part_of("quantization.html.jinja", dict(outputs.finished.metrics))
