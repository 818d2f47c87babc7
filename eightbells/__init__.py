"""Everything about the watch that is true without an orchestrator: candles, exchange, quality, trading."""
