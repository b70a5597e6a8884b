"""Promotion: the gate's written rules, and the model registry."""
