"""Quantizing a model for serving: FP8_DYNAMIC in the compressed-tensors format."""
