"""Engines: what computes the judge's answers. All of them implement `interface.Engine`."""
