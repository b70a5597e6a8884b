"""The Storm recipe as a library: self-curation, targeted fine-tuning, merging, quantization and evaluation."""

__version__ = "0.1.0"
