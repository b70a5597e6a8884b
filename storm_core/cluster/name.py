"""What a TrainJob is called: by what it trains, so that a second attempt at the same finds the first."""

# A pod's host name is the job's name with the nodes' role and two numbers behind it, of at most 63 characters.
_KEY_CHARACTERS = 20


def job_name(verb: str, key: str) -> str:
    """A DNS label made of the verb and of the run key, a SHA-256 over model, data, options and code."""
    return f"storm-{verb}-{key[:_KEY_CHARACTERS]}"
