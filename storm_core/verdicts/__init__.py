"""What the judge said: the table of verdicts, its one reader, its summary, and the cache between runs."""
