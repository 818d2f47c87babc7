-- What is odd about candles that were stored all the same.
CREATE TABLE candle_warnings (
    symbol text NOT NULL,
    "interval" text NOT NULL,
    open_time timestamptz NOT NULL,
    warning text NOT NULL,
    batch_id bigint NOT NULL REFERENCES batches,
    PRIMARY KEY (symbol, "interval", open_time, warning)
);
CREATE TRIGGER candle_warnings_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON candle_warnings
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

COMMENT ON TABLE candle_warnings IS 'What is odd about stored candles';
COMMENT ON COLUMN candle_warnings.symbol IS 'Name of the symbol at the exchange, such as BTCUSDT';
COMMENT ON COLUMN candle_warnings."interval" IS 'Length of the candle: 4h';
COMMENT ON COLUMN candle_warnings.open_time IS 'Open time of the candle';
COMMENT ON COLUMN candle_warnings.warning IS 'Code of the rule that the candle does not meet';
COMMENT ON COLUMN candle_warnings.batch_id IS 'The batch whose version of the candle was odd first';
