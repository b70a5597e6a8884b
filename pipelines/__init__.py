"""The recipe as one KFP pipeline: its graph, its recipes' arguments, and the engines that run it."""
