"""Spectrum: which weight matrices to train, by their signal-to-noise ratio."""
