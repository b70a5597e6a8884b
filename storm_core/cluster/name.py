"""What a TrainJob is called: by what it trains, so that a second attempt at the same finds the first."""

import hashlib
import re

# A pod's host name is the job's name with the nodes' role and two numbers behind it, of at most 63 characters.
_MOST_CHARACTERS = 40
_KEY_CHARACTERS = 20


def job_name(verb: str, key: str) -> str:
    """A DNS label made of the verb and of the run key, which says model, data, options and code."""
    digest = key if re.fullmatch(r"[0-9a-f]{20,}", key) else hashlib.sha256(key.encode()).hexdigest()
    return f"storm-{verb}-{digest[:_KEY_CHARACTERS]}"[:_MOST_CHARACTERS]
