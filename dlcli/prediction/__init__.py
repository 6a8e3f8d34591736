"""Predictions for new data: tables, pictures and arrays, read in parts of bounded size."""
