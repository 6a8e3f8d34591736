"""Training of a model as a stream of events, without output, run files or YAML."""
