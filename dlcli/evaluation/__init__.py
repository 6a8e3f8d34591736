"""Evaluation of trained runs: metrics, baselines, predictions, diagnosis."""
