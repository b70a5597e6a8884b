"""Conversations in the spellings of data sets."""
