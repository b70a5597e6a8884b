"""The figures of the report, each an SVG that goes into the page as it is."""
