"""Diagnosis of trained runs: measurements, rules, findings."""
