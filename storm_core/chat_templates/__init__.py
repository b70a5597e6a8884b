"""Chat templates: what a model is given of a conversation, and where in it each answer begins and ends."""
