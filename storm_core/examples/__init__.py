"""Examples by the million: their index by ID, samples that are the same everywhere, any order on disk."""
