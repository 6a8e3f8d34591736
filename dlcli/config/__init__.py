"""Loading, validation and output of YAML configs, without importing torch."""
