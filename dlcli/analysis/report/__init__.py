"""Runs as web pages that need nothing else: no network, no script, no second file."""
