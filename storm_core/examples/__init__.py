"""Examples by the million: found by ID, sampled the same way everywhere, written in any order, cut into words."""
