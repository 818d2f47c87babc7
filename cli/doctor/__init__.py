"""`eightbells doctor`: check everything that trading depends on, and name the remedy of each failure."""
