"""Small controlled experiments about the claims of the lecture, with results and conclusions."""
