"""Self-curation, second half: which examples stay, which of those validate, and the account of all."""
