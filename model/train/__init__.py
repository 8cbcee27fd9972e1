"""Training Harmon: recipe (what), data (from what), loop (how)."""
