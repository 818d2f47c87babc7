"""Strategies: what they must be, the built-in ones, and their evaluation on proven candles."""
