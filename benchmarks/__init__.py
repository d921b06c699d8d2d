"""How fast it is, as ratios to others that do the same on the same machine in the same minutes."""
