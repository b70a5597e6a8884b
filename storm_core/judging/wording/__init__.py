"""What the judge is asked, word for word: rubrics, their other wordings, and the prompts made of them."""
