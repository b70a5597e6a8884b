"""The page of a finished stage: what ran on what, its numbers, and what came out."""
