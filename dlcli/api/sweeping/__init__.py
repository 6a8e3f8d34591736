"""Running of sweeps: workers, trials, generations and confirmation."""
