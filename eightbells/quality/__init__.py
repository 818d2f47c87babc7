"""What makes a candle sound, and the gate through which alone candles reach the store."""
