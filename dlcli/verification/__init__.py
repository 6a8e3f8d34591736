"""Verification of a run by retraining it."""
