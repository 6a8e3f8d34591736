"""Run folders on disk: config, log, checkpoints, and resuming from them."""
