"""Shows that 100,000 sessions move between each two databases, killed on the way, and how many move in a second."""
