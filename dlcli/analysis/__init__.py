"""Evaluation, diagnosis and explanation of trained runs."""
