"""Storage of sweeps: studies of Optuna that several processes and machines work on at the same time."""
