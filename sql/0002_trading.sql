-- Decisions, the orders that follow, and what became of them. The chain of foreign keys is the safety:
-- order -> signal -> evaluation -> validation that passed.

CREATE TABLE evaluations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    strategy text NOT NULL,
    strategy_version text NOT NULL,
    parameters jsonb NOT NULL,
    parameters_hash text NOT NULL,
    code_version text NOT NULL,
    symbol text NOT NULL,
    "interval" text NOT NULL,
    open_time timestamptz NOT NULL,      -- the candle decided on
    window_start timestamptz NOT NULL,
    window_candles integer NOT NULL CHECK (window_candles > 0),
    as_of_batch bigint NOT NULL REFERENCES batches,
    inputs_hash text NOT NULL,
    validation_id bigint NOT NULL,
    proven boolean NOT NULL DEFAULT TRUE CHECK (proven),
    evaluated_at timestamptz NOT NULL,
    flow_run text,
    FOREIGN KEY (validation_id, symbol, "interval", open_time, proven)
    REFERENCES validations (id, symbol, "interval", last_open_time, success),
    FOREIGN KEY (symbol, "interval", open_time) REFERENCES candles,
    UNIQUE (account, strategy, strategy_version, symbol, "interval", open_time)
);

CREATE TABLE signals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    evaluation_id bigint NOT NULL UNIQUE REFERENCES evaluations,
    target text NOT NULL CHECK (target IN ('long', 'flat')),
    price numeric NOT NULL CHECK (price > 0), -- close of the candle decided on
    reason text NOT NULL
);

CREATE TABLE order_transitions (
    from_state text NOT NULL,
    to_state text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO order_transitions VALUES
('PLANNED', 'SENDING'), ('PLANNED', 'REFUSED'),
('SENDING', 'OPEN'), ('SENDING', 'PARTIALLY_FILLED'), ('SENDING', 'FILLED'), ('SENDING', 'CANCELED'),
('SENDING', 'EXPIRED'), ('SENDING', 'REFUSED'), ('SENDING', 'UNKNOWN'),
('UNKNOWN', 'OPEN'), ('UNKNOWN', 'PARTIALLY_FILLED'), ('UNKNOWN', 'FILLED'), ('UNKNOWN', 'CANCELED'),
('UNKNOWN', 'EXPIRED'), ('UNKNOWN', 'ABSENT'),
('OPEN', 'PARTIALLY_FILLED'), ('OPEN', 'FILLED'), ('OPEN', 'CANCELED'), ('OPEN', 'EXPIRED'),
('PARTIALLY_FILLED', 'FILLED'), ('PARTIALLY_FILLED', 'CANCELED'), ('PARTIALLY_FILLED', 'EXPIRED');

CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signal_id bigint NOT NULL REFERENCES signals,
    leg text NOT NULL CHECK (leg IN ('entry', 'exit', 'stop', 'sellout')),
    attempt smallint NOT NULL DEFAULT 1 CHECK (attempt > 0),
    account text NOT NULL,
    strategy text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    open_time timestamptz NOT NULL,
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    type text NOT NULL CHECK (type IN ('LIMIT', 'MARKET', 'STOP_LOSS_LIMIT')),
    time_in_force text CHECK (time_in_force IN ('GTC', 'IOC', 'FOK')),
    quantity numeric NOT NULL CHECK (quantity > 0),
    price numeric CHECK (price > 0),
    stop_price numeric CHECK (stop_price > 0),
    sizing text NOT NULL DEFAULT '',     -- what the quantity was made of, in words
    client_order_id text NOT NULL CHECK (client_order_id ~ '^[a-zA-Z0-9_-]{1,36}$'),
    state text NOT NULL DEFAULT 'PLANNED',
    exchange_order_id bigint,
    request_time timestamptz,            -- the timestamp inside the signed request
    recv_window_ms integer,
    executed_quantity numeric NOT NULL DEFAULT 0 CHECK (executed_quantity BETWEEN 0 AND quantity),
    planned_at timestamptz NOT NULL,
    flow_run text,
    CHECK ((type <> 'MARKET') = (price IS NOT NULL)),
    CHECK ((type <> 'MARKET') = (time_in_force IS NOT NULL)),
    CHECK ((type = 'STOP_LOSS_LIMIT') = (stop_price IS NOT NULL) AND (leg = 'stop') = (stop_price IS NOT NULL)),
    CHECK (state IN ('PLANNED', 'REFUSED') OR request_time IS NOT NULL),
    UNIQUE (account, client_order_id),
    UNIQUE (signal_id, leg, attempt)
);

-- One decision, one order: another attempt only after one that certainly does not exist.
CREATE UNIQUE INDEX orders_one_live_attempt ON orders (signal_id, leg)
WHERE leg IN ('entry', 'exit') AND state NOT IN ('ABSENT', 'REFUSED');
-- What protects or sells out follows what is held, however often that changes. One sale of a position at a time,
-- of any kind: together they could sell what is not the strategy's.
CREATE UNIQUE INDEX orders_one_live_sale ON orders (account, strategy, symbol)
WHERE side = 'SELL' AND state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED');
CREATE INDEX orders_unsettled ON orders (account, symbol)
WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED');

CREATE TABLE order_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES orders,
    from_state text,
    to_state text NOT NULL,
    at timestamptz NOT NULL,             -- the exchange's clock
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    detail jsonb NOT NULL DEFAULT '{}',
    flow_run text
);
CREATE INDEX ON order_events (order_id);

CREATE TRIGGER order_events_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- An order's state changes by the insertion of an event and in no other way, and only along a legal
-- transition: state and event cannot come apart.
CREATE FUNCTION apply_order_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    present text;
BEGIN
    SELECT state INTO present FROM orders WHERE id = NEW.order_id FOR UPDATE;
    IF NEW.from_state IS NULL AND NEW.to_state = 'PLANNED' AND present = 'PLANNED' THEN
        RETURN NEW;
    END IF;
    IF present IS DISTINCT FROM NEW.from_state OR NOT EXISTS (
        SELECT FROM order_transitions t WHERE t.from_state = NEW.from_state AND t.to_state = NEW.to_state
    ) THEN
        RAISE EXCEPTION 'order % is %, it cannot go from % to %',
            NEW.order_id, present, NEW.from_state, NEW.to_state USING ERRCODE = 'check_violation';
    END IF;
    UPDATE orders SET state = NEW.to_state WHERE id = NEW.order_id;
    RETURN NEW;
END $$;

CREATE TRIGGER order_events_apply BEFORE INSERT ON order_events
FOR EACH ROW EXECUTE FUNCTION apply_order_event();

CREATE FUNCTION refuse_bare_state_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'the state of order % changes only by an event', NEW.id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER orders_state_follows_events BEFORE UPDATE OF state ON orders
FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION refuse_bare_state_change();

CREATE FUNCTION refuse_unplanned_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'PLANNED' THEN
        RAISE EXCEPTION 'an order begins as PLANNED, not as %', NEW.state USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO order_events (order_id, to_state, at, detail, flow_run)
    VALUES (NEW.id, 'PLANNED', NEW.planned_at, jsonb_build_object('sizing', NEW.sizing), NEW.flow_run);
    RETURN NEW;
END $$;

CREATE TRIGGER orders_begin_planned AFTER INSERT ON orders
FOR EACH ROW EXECUTE FUNCTION refuse_unplanned_order();

CREATE TABLE fills (
    account text NOT NULL,
    symbol text NOT NULL,
    trade_id bigint NOT NULL,
    order_id bigint NOT NULL REFERENCES orders,
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    price numeric NOT NULL CHECK (price > 0),
    quantity numeric NOT NULL CHECK (quantity > 0),
    quote_quantity numeric NOT NULL CHECK (quote_quantity >= 0),
    commission numeric NOT NULL CHECK (commission >= 0),
    commission_asset text NOT NULL,
    traded_at timestamptz NOT NULL,
    flow_run text,                       -- the run that booked it
    PRIMARY KEY (account, symbol, trade_id)
);
CREATE INDEX ON fills (order_id);

CREATE TRIGGER fills_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON fills
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What other trades' fees have taken out of a position, where the exchange takes them in the asset that it holds.
CREATE TABLE fee_charges (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    strategy text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    quantity numeric NOT NULL CHECK (quantity > 0),
    charged_at timestamptz NOT NULL      -- the exchange's clock
);
CREATE INDEX ON fee_charges (account, strategy, symbol);

CREATE TRIGGER fee_charges_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON fee_charges
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What each strategy owns, net of the fees that were taken in the asset itself.
CREATE VIEW positions AS
SELECT
    o.account,
    o.strategy,
    o.symbol,
    sum(
        CASE f.side WHEN 'BUY' THEN f.quantity ELSE -f.quantity END
        - CASE WHEN f.commission_asset = s.base_asset THEN f.commission ELSE 0 END
    ) - (
        SELECT coalesce(sum(c.quantity), 0) FROM fee_charges AS c
        WHERE c.account = o.account AND c.strategy = o.strategy AND c.symbol = o.symbol
    ) AS quantity,
    sum(
        CASE f.side WHEN 'BUY' THEN -f.quote_quantity ELSE f.quote_quantity END
        - CASE WHEN f.commission_asset = s.quote_asset THEN f.commission ELSE 0 END
    ) AS quote_flow,                     -- what was taken in less what was paid, net of fees in the quote
    count(*) AS fills,
    max(f.traded_at) AS last_traded_at
FROM fills AS f
INNER JOIN orders AS o ON f.order_id = o.id
INNER JOIN symbols AS s ON o.symbol = s.symbol
GROUP BY o.account, o.strategy, o.symbol;

-- What was not done, and why: a symbol whose data did not pass, a size below the minimum, a stale candle.
CREATE TABLE refusals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    strategy text NOT NULL DEFAULT '',   -- empty: the symbol is refused to every strategy
    symbol text NOT NULL,
    open_time timestamptz NOT NULL,
    stage text NOT NULL CHECK (
        stage IN ('universe', 'quality', 'evaluation', 'age', 'switch', 'sizing', 'risk', 'drift')
    ),
    reason text NOT NULL,
    at timestamptz NOT NULL,
    flow_run text,
    UNIQUE (account, strategy, symbol, open_time, stage, reason)
);

CREATE TABLE balances (
    account text NOT NULL,
    asset text NOT NULL,
    free numeric NOT NULL CHECK (free >= 0),
    locked numeric NOT NULL CHECK (locked >= 0),
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (account, asset)
);

-- One writer an account. A lease runs out by itself; every taking of it raises the fence, and the outbox commits
-- a send only under the newest one, so that a worker which slept through its lease cannot send.
CREATE TABLE leases (
    account text PRIMARY KEY,
    fence bigint NOT NULL,
    holder text NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Where the exchange and the books do not agree. While one is open its symbol is not traded; one about an order is
-- cleared only when that very order was looked at again and agrees.
CREATE TABLE drifts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    symbol text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('order', 'fill', 'balance')),
    detail text NOT NULL,
    exchange_order_id bigint,
    found_at timestamptz NOT NULL,
    cleared_at timestamptz,
    CHECK ((kind = 'balance') = (exchange_order_id IS NULL)),
    UNIQUE (id, exchange_order_id)
);
CREATE UNIQUE INDEX drifts_open ON drifts (account, symbol, kind, detail) WHERE cleared_at IS NULL;

-- What a person has looked into and lets stand: the very same disagreement about the same order blocks no more. Coins
-- that are missing belong to no order, and cannot be let stand: they would be sold, and are not there.
CREATE TABLE drift_acceptances (
    drift_id bigint PRIMARY KEY,
    exchange_order_id bigint NOT NULL,
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    accepted_by text NOT NULL CHECK (btrim(accepted_by) <> ''),
    accepted_at timestamptz NOT NULL,    -- the exchange's clock
    FOREIGN KEY (drift_id, exchange_order_id) REFERENCES drifts (id, exchange_order_id)
);

CREATE TRIGGER drift_acceptances_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON drift_acceptances
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- When the exchange's orders of a symbol were last held against the books.
CREATE TABLE order_looks (
    account text NOT NULL,
    symbol text NOT NULL,
    looked_at timestamptz NOT NULL,      -- the exchange's clock before it was asked
    PRIMARY KEY (account, symbol)
);

-- Orders at the exchange that are not ours: listed, never touched.
CREATE TABLE foreign_orders (
    account text NOT NULL,
    symbol text NOT NULL,
    exchange_order_id bigint NOT NULL,
    client_order_id text NOT NULL,
    side text NOT NULL,
    type text NOT NULL,
    status text NOT NULL,
    quantity numeric NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (account, symbol, exchange_order_id)
);

CREATE TABLE cycles (
    account text NOT NULL,
    open_time timestamptz NOT NULL,      -- the candle whose close it served
    finished_at timestamptz NOT NULL,
    equity numeric,                      -- in the quote asset, at the candle's close prices
    summary jsonb NOT NULL,
    flow_run text,
    positions jsonb NOT NULL DEFAULT '[]', -- each with its dust, its cost, and its profit, realised and not
    PRIMARY KEY (account, open_time)
);

-- 'trading' stops everything within one order when it is off.
CREATE TABLE switches (
    name text PRIMARY KEY,
    is_on boolean NOT NULL,
    reason text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO switches (name, is_on, reason) VALUES ('trading', TRUE, 'as installed');
