"""A Binance Spot exchange to test against: a program of its own, started with `python -m simulator`."""
