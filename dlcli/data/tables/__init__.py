"""Strict reading of tables: CSV, Parquet and NPZ files."""
