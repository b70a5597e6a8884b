"""Whether the judge can be trusted: its verdicts summarised, and what it answers when asked otherwise."""
