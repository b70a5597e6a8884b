"""Model directories: read, written and loaded; and made from whatever a model comes in."""
