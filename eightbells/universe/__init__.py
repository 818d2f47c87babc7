"""The universe by rule: which symbols are traded at which time, from the candles that were stored then."""
