"""What a run leaves behind on disk, and how it is found again."""
