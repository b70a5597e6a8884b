"""Evaluation: one suite of benchmarks, the same code and settings for every model."""
