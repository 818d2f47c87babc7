-- Fees in an asset that is neither bought, sold nor paid with, such as BNB, are in no position. They are valued when
-- they are booked and taken off the profit.

-- What an amount of an asset was worth at the newest stored close before a time; NULL where there is none of that week.
CREATE FUNCTION value_in_quote(asset text, quote text, amount numeric, at timestamptz) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT round(amount * close, 8) FROM candles
    WHERE symbol = asset || quote AND "interval" = '4h'
    AND open_time <= at - interval '4 hours' AND open_time > at - interval '7 days'
    ORDER BY open_time DESC LIMIT 1
$$;

ALTER TABLE fills ADD COLUMN commission_quote numeric CHECK (commission_quote >= 0); -- NULL: it could not be valued
ALTER TABLE fills DISABLE TRIGGER fills_are_kept;
UPDATE fills AS f SET commission_quote = CASE
    WHEN f.commission = 0 THEN 0
    WHEN f.commission_asset = s.quote_asset THEN f.commission
    WHEN f.commission_asset = s.base_asset THEN round(f.commission * f.price, 8)
    ELSE value_in_quote(f.commission_asset, s.quote_asset, f.commission, f.traded_at)
END
FROM orders AS o INNER JOIN symbols AS s ON o.symbol = s.symbol
WHERE f.order_id = o.id;
ALTER TABLE fills ENABLE TRIGGER fills_are_kept;
CREATE INDEX fills_unvalued ON fills (account) WHERE commission_quote IS NULL AND commission > 0;

-- What the charged position lost, its strategy is credited: the fee is another's, whose profit it is taken off.
ALTER TABLE fee_charges ADD COLUMN quote_value numeric NOT NULL DEFAULT 0;
ALTER TABLE fee_charges DISABLE TRIGGER fee_charges_are_kept;
UPDATE fee_charges AS c
SET quote_value = coalesce(value_in_quote(s.base_asset, s.quote_asset, c.quantity, c.charged_at), 0)
FROM symbols AS s WHERE c.symbol = s.symbol;
ALTER TABLE fee_charges ENABLE TRIGGER fee_charges_are_kept;

-- Fees that are neither in quantity nor in quote_flow, less what was credited for fees of others.
ALTER TABLE position_totals ADD COLUMN fees numeric NOT NULL DEFAULT 0;
UPDATE position_totals AS p SET fees = (
    SELECT coalesce(sum(f.commission_quote), 0)
    FROM fills AS f INNER JOIN orders AS o ON f.order_id = o.id INNER JOIN symbols AS s ON o.symbol = s.symbol
    WHERE o.account = p.account AND o.strategy = p.strategy AND o.symbol = p.symbol
    AND f.commission_asset NOT IN (s.base_asset, s.quote_asset)
) - (
    SELECT coalesce(sum(c.quote_value), 0) FROM fee_charges AS c
    WHERE c.account = p.account AND c.strategy = p.strategy AND c.symbol = p.symbol
);

-- The equity of past cycles, too: otherwise the fees of years would be the loss of one day.
WITH moved AS (
    SELECT f.account, f.traded_at AS at, cast(NULL AS timestamptz) AS open_time, f.commission_quote AS amount
    FROM fills AS f INNER JOIN orders AS o ON f.order_id = o.id INNER JOIN symbols AS s ON o.symbol = s.symbol
    WHERE f.commission_quote > 0 AND f.commission_asset NOT IN (s.base_asset, s.quote_asset)
    UNION ALL
    SELECT account, charged_at, NULL AS open_time, -quote_value AS amount FROM fee_charges
    UNION ALL
    SELECT account, finished_at, open_time, 0 AS amount FROM cycles
), running AS (
    SELECT account, open_time, sum(amount) OVER (PARTITION BY account ORDER BY at, open_time NULLS FIRST) AS fees
    FROM moved
)
UPDATE cycles AS c SET equity = c.equity - r.fees FROM running AS r
WHERE r.account = c.account AND r.open_time = c.open_time AND r.fees <> 0;

DROP FUNCTION add_to_position;
CREATE FUNCTION add_to_position(
    of_account text, of_strategy text, of_symbol text, added numeric, flow numeric, new_fills integer,
    traded timestamptz, fee numeric
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO position_totals AS p (account, strategy, symbol, quantity, quote_flow, fills, last_traded_at, fees)
    VALUES (of_account, of_strategy, of_symbol, added, flow, new_fills, traded, fee)
    ON CONFLICT (account, strategy, symbol) DO UPDATE SET
        quantity = p.quantity + excluded.quantity,
        quote_flow = p.quote_flow + excluded.quote_flow,
        fills = p.fills + excluded.fills,
        last_traded_at = greatest(p.last_traded_at, excluded.last_traded_at),
        fees = p.fees + excluded.fees;
$$;

CREATE OR REPLACE FUNCTION add_fill_to_totals() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sign integer := CASE NEW.side WHEN 'BUY' THEN 1 ELSE -1 END;
BEGIN
    UPDATE orders SET booked_quantity = booked_quantity + NEW.quantity WHERE id = NEW.order_id;
    PERFORM add_to_position(
        o.account, o.strategy, o.symbol,
        sign * NEW.quantity - CASE WHEN NEW.commission_asset = s.base_asset THEN NEW.commission ELSE 0 END,
        -sign * NEW.quote_quantity - CASE WHEN NEW.commission_asset = s.quote_asset THEN NEW.commission ELSE 0 END,
        1, NEW.traded_at,
        CASE WHEN NEW.commission_asset IN (s.base_asset, s.quote_asset) THEN 0
            ELSE coalesce(NEW.commission_quote, 0) END
    ) FROM orders AS o INNER JOIN symbols AS s ON s.symbol = o.symbol WHERE o.id = NEW.order_id;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION take_charge_from_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_position(
        NEW.account, NEW.strategy, NEW.symbol, -NEW.quantity, 0, 0, NULL, -NEW.quote_value
    );
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION take_write_off_from_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_position(NEW.account, NEW.strategy, NEW.symbol, -NEW.quantity, NEW.proceeds, 0, NULL, 0);
    RETURN NULL;
END $$;

CREATE OR REPLACE VIEW positions AS
SELECT account, strategy, symbol, quantity, quote_flow, fills, last_traded_at, fees FROM position_totals;

-- Fees that are in no profit, since nothing says what they were worth.
CREATE VIEW unvalued_fees AS
SELECT f.account, o.strategy, o.symbol, f.commission_asset AS asset, sum(f.commission) AS amount
FROM fills AS f INNER JOIN orders AS o ON f.order_id = o.id
WHERE f.commission_quote IS NULL AND f.commission > 0
GROUP BY f.account, o.strategy, o.symbol, f.commission_asset;
