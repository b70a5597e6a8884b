"""The KFP container component of every stage, made from the stage's declaration, and its image."""
