"""Self-curation, first half: what the judge is asked, and what computes its answers."""
