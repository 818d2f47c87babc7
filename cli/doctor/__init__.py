"""`eightbells doctor`: everything that trading rests on, looked at one by one, each with its remedy."""
