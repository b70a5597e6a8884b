"""Targeted supervised fine-tuning: loss on the assistant's tokens, Spectrum's modules trained, the rest frozen."""
