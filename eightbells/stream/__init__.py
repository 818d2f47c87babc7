"""The stream: closed candles and our own fills as they happen, with REST beside it."""
