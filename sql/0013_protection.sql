-- A sale takes the place of another one in a single request. Until it is certain that the new one exists, the one in
-- whose place it comes counts as yielding: there may be one sale of a position that yields to none.
ALTER TABLE orders
ADD COLUMN replaces bigint REFERENCES orders,     -- the order that is cancelled by the request that places this one
ADD COLUMN yields boolean NOT NULL DEFAULT FALSE, -- a live order replaces it
ADD CONSTRAINT orders_replaces_a_sale CHECK (replaces IS NULL OR side = 'SELL');

DROP INDEX orders_one_live_sale;
CREATE UNIQUE INDEX orders_one_live_sale ON orders (account, strategy, symbol)
WHERE side = 'SELL' AND NOT yields AND state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED');
CREATE INDEX orders_replaced ON orders (replaces) WHERE replaces IS NOT NULL;

CREATE OR REPLACE VIEW live_orders AS
SELECT * FROM orders WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED');

-- Where the new order certainly does not exist, the old one stands as before.
CREATE FUNCTION end_yielding() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE orders SET yields = FALSE
    FROM orders AS successor
    WHERE successor.id = NEW.order_id AND orders.id = successor.replaces AND orders.yields;
    RETURN NULL;
END $$;

CREATE TRIGGER order_events_end_yielding AFTER INSERT ON order_events
FOR EACH ROW WHEN (NEW.to_state IN ('DENIED', 'REJECTED', 'ABSENT')) EXECUTE FUNCTION end_yielding();

-- One entry a decision. A sale follows what is held, however often that changes: one at a time, see above.
DROP INDEX orders_one_live_attempt;
CREATE UNIQUE INDEX orders_one_live_attempt ON orders (signal_id, leg)
WHERE leg = 'entry' AND state NOT IN ('ABSENT', 'DENIED', 'REJECTED');

-- A stop sells at market when its price is reached, or by a limit; one whose price was passed before it could be placed
-- is a sale at market.
ALTER TABLE orders
DROP CONSTRAINT orders_type_check,
DROP CONSTRAINT orders_check1,
DROP CONSTRAINT orders_check2,
DROP CONSTRAINT orders_check3,
ADD CONSTRAINT orders_type CHECK (type IN ('LIMIT', 'MARKET', 'STOP_LOSS', 'STOP_LOSS_LIMIT')),
ADD CONSTRAINT orders_limit CHECK ((type IN ('LIMIT', 'STOP_LOSS_LIMIT')) = (price IS NOT NULL)),
ADD CONSTRAINT orders_limit_time CHECK ((price IS NULL) = (time_in_force IS NULL)),
ADD CONSTRAINT orders_stop_price CHECK ((type IN ('STOP_LOSS', 'STOP_LOSS_LIMIT')) = (stop_price IS NOT NULL)),
ADD CONSTRAINT orders_stop CHECK (stop_price IS NULL OR leg = 'stop'),
ADD CONSTRAINT orders_stop_type CHECK (leg <> 'stop' OR type <> 'LIMIT');

ALTER TABLE refusals
DROP CONSTRAINT refusals_stage_check,
ADD CONSTRAINT refusals_stage CHECK (
    stage IN (
        'universe', 'quality', 'evaluation', 'age', 'switch', 'sizing', 'risk', 'drift', 'protection', 'hold'
    )
);

-- Holdings that should have a live stop, or a sale under way, and have neither.
CREATE TABLE unprotected (
    account text NOT NULL,
    strategy text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    reason text NOT NULL,
    since timestamptz NOT NULL,          -- the exchange's clock
    PRIMARY KEY (account, strategy, symbol)
);

-- A symbol whose price or balance changed in a way that trading does not explain: until a person has said what happened,
-- nothing is sent for it, or nothing is bought. A jump is known by the first candle after it, and held once.
CREATE TABLE holds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    reason text NOT NULL CHECK (reason IN ('jump', 'balance')),
    scope text NOT NULL CHECK (scope IN ('all', 'entries')),
    candle timestamptz,
    facts jsonb NOT NULL,
    found_at timestamptz NOT NULL,       -- the exchange's clock
    released_at timestamptz,
    released_by text CHECK (btrim(released_by) <> ''),
    why text CHECK (btrim(why) <> ''),
    CHECK ((reason = 'jump') = (candle IS NOT NULL)),
    CHECK ((released_at IS NULL) = (released_by IS NULL) AND (released_at IS NULL) = (why IS NULL))
);
CREATE UNIQUE INDEX holds_of_jumps ON holds (account, symbol, candle) WHERE reason = 'jump';
CREATE UNIQUE INDEX holds_of_balances ON holds (account, symbol) WHERE reason = 'balance' AND released_at IS NULL;
CREATE INDEX holds_open ON holds (account, symbol) WHERE released_at IS NULL;

-- What a position is valued at: the newest close up to a candle's, or what it was before a jump that nobody has explained.
CREATE FUNCTION value_price(of_account text, of_symbol text, until timestamptz) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (
            SELECT (h.facts ->> 'before')::numeric FROM holds AS h
            WHERE h.account = of_account AND h.symbol = of_symbol AND h.reason = 'jump' AND h.scope = 'all'
            AND h.released_at IS NULL AND h.candle <= until ORDER BY h.candle LIMIT 1
        ),
        (
            SELECT c.close FROM candles AS c
            WHERE c.symbol = of_symbol AND c."interval" = '4h' AND c.open_time <= until
            ORDER BY c.open_time DESC LIMIT 1
        )
    );
$$;

CREATE INDEX evaluations_newest ON evaluations (account, strategy, symbol, open_time);
CREATE INDEX orders_of_position ON orders (account, strategy, symbol, id);
