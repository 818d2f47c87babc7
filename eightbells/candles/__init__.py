"""Candles: the grid they stand on, the frame they travel in, where they are stored."""
