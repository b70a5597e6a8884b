"""The gate: evaluations compared by written rules."""
