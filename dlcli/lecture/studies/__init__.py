"""Studies: the same training under different settings, compared over several seeds."""
