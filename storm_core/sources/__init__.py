"""Where the recipe starts: a model made ready for every stage, and data sources turned into examples."""
