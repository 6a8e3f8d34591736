"""Plots of trained runs."""
