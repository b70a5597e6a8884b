"""Function calling in the recipe's format: prompts, replies, BFCL's questions and its rules for a right answer."""
