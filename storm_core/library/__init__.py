"""What a person calls who imports `storm_core`: the stages as functions, and results that show themselves."""
