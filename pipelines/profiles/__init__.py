"""Profiles: what a cluster gives to each task of the recipe, as YAML files; how one is read, checked and applied."""
