"""Shared helpers for tests of studies."""
