"""Which examples give an evaluation away."""
