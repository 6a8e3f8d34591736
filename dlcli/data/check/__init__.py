"""Check of the user's own data: figures of every column, and findings with evidence and advice."""
