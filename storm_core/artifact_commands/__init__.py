"""`storm artifact ...`: look at, move, check and clear what stores hold."""
