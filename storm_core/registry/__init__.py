"""The model registry: what the run's model is known as, with what it was made from."""
