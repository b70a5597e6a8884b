"""Data sources: whatever people have, turned into examples that may train."""
