-- A refusal is identified by its place, its candle and its stage. Its reason is a sentence, and may be reworded.

DELETE FROM refusals AS r USING refusals AS newer
WHERE
    newer.account = r.account AND newer.strategy = r.strategy AND newer.symbol = r.symbol
    AND newer.open_time = r.open_time AND newer.stage = r.stage AND newer.id > r.id;

ALTER TABLE refusals
DROP CONSTRAINT refusals_account_strategy_symbol_open_time_stage_reason_key,
ADD CONSTRAINT refusals_place UNIQUE (account, strategy, symbol, open_time, stage);
