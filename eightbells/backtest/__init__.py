"""What strategies would have done on past candles: the cycle's own functions, a reckoning, and a report."""
