"""YAML text -> Config. Nothing in here imports torch."""
