"""Speed measurements of this machine."""
