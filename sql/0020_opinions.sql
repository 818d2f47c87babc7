-- What a strategy may set with its opinion to be long: prices at which the position is sold, and its share of the capital.
ALTER TABLE signals
ADD COLUMN stop numeric,
ADD COLUMN take_profit numeric,
ADD COLUMN weight numeric,
ADD CONSTRAINT signals_stop CHECK (stop > 0 AND stop < price),
ADD CONSTRAINT signals_take_profit CHECK (take_profit > price AND take_profit < 'Infinity'),
ADD CONSTRAINT signals_weight CHECK (weight > 0 AND weight <= 1),
ADD CONSTRAINT signals_of_flat CHECK (
    target = 'long' OR (stop IS NULL AND take_profit IS NULL AND weight IS NULL)
);

-- A sale of a part of what is held, while the strategy stays in: one per decision.
ALTER TABLE orders
DROP CONSTRAINT orders_leg,
ADD CONSTRAINT orders_leg CHECK (leg IN ('entry', 'exit', 'stop', 'sellout', 'manual', 'trim')),
ADD CONSTRAINT orders_trim CHECK (leg <> 'trim' OR (side = 'SELL' AND type = 'MARKET'));

DROP INDEX orders_one_live_attempt;
CREATE UNIQUE INDEX orders_one_live_attempt ON orders (signal_id, leg)
WHERE leg IN ('entry', 'trim') AND state NOT IN ('ABSENT', 'DENIED', 'REJECTED');

ALTER TABLE refusals
DROP CONSTRAINT refusals_stage,
ADD CONSTRAINT refusals_stage CHECK (
    stage IN (
        'universe', 'quality', 'evaluation', 'age', 'switch', 'sizing', 'risk', 'drift', 'protection', 'hold', 'trim'
    )
);
