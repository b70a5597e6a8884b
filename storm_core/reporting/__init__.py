"""The report: what a run of the recipe did, as one HTML page and as data."""
