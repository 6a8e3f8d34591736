"""Sweeps: the `sweep` section of a config, its search space and their checks."""
