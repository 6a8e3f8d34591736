"""Small controlled experiments: what is varied, what comes of it, and what may be said of that."""
