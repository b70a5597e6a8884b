"""The audit of a judge: what its verdicts look like, and how it answers when it is asked otherwise."""
