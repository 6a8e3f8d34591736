"""Splits + model -> a stream of events. Nothing in here prints, opens a path or sees YAML."""
