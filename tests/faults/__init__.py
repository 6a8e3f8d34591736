"""Real processes that are killed, interrupted, starved and raced: what they leave is held against a whole run."""
