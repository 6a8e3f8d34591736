"""Fault injection: real processes are killed, interrupted and raced, and the results compared with normal runs."""
