"""Pictures: how they are read and varied, models of them, and what these look at."""
