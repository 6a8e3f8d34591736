"""Plots of trained runs; only this package imports matplotlib."""
