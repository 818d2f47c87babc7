"""Everything that does not need Prefect: candles, exchange, quality, trading."""
