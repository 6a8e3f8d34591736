"""Training of many models together: the same results as one by one, in less time."""
