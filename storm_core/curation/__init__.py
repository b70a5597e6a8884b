"""Self-curation: a judge scores each example, thresholds select, and a funnel accounts for every row."""
