"""Two half-moons, one inside the other."""
