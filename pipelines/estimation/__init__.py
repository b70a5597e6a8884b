"""What a recipe will take of a cluster, by arithmetic."""
