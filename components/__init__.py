"""One KFP container component a file: a signature and the command of its `storm` verb."""
