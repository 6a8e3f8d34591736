"""Self-contained HTML pages about runs: no network access, no scripts, no other files."""
