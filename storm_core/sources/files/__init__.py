"""Rows of the files that data comes in."""
