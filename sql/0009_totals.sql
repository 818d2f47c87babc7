-- What is read at every reconciliation no longer grows with the number of orders ever placed: fills add to running
-- totals, and the orders that still matter have an index of their own.

ALTER TABLE orders
ADD COLUMN booked_quantity numeric NOT NULL DEFAULT 0, -- sum of its fills
ADD COLUMN changed_at timestamptz;                     -- time of its newest event, by the exchange's clock

UPDATE orders AS o SET
    booked_quantity = coalesce((SELECT sum(f.quantity) FROM fills AS f WHERE f.order_id = o.id), 0),
    changed_at = (SELECT max(e.at) FROM order_events AS e WHERE e.order_id = o.id);

CREATE INDEX orders_unbooked ON orders (account) WHERE executed_quantity > booked_quantity;
CREATE INDEX orders_changed ON orders (account, symbol, changed_at);
CREATE INDEX orders_of_candle ON orders (account, open_time);
CREATE INDEX orders_by_exchange_id ON orders (account, exchange_order_id);

CREATE FUNCTION note_change_of_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE orders SET changed_at = greatest(changed_at, NEW.at) WHERE id = NEW.order_id;
    RETURN NULL;
END $$;

CREATE TRIGGER order_events_note_change AFTER INSERT ON order_events
FOR EACH ROW EXECUTE FUNCTION note_change_of_order();

-- Orders that can still be executed, or have yet to be sent.
CREATE VIEW live_orders AS
SELECT * FROM orders WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED');

CREATE TABLE position_totals (
    account text NOT NULL,
    strategy text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    quantity numeric NOT NULL,
    quote_flow numeric NOT NULL,
    fills bigint NOT NULL,
    last_traded_at timestamptz,
    PRIMARY KEY (account, strategy, symbol)
);
INSERT INTO position_totals SELECT * FROM positions;

CREATE FUNCTION add_to_position(
    of_account text, of_strategy text, of_symbol text, added numeric, flow numeric, new_fills integer,
    traded timestamptz
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO position_totals AS p VALUES (of_account, of_strategy, of_symbol, added, flow, new_fills, traded)
    ON CONFLICT (account, strategy, symbol) DO UPDATE SET
        quantity = p.quantity + excluded.quantity,
        quote_flow = p.quote_flow + excluded.quote_flow,
        fills = p.fills + excluded.fills,
        last_traded_at = greatest(p.last_traded_at, excluded.last_traded_at);
$$;

CREATE FUNCTION add_fill_to_totals() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sign integer := CASE NEW.side WHEN 'BUY' THEN 1 ELSE -1 END;
BEGIN
    UPDATE orders SET booked_quantity = booked_quantity + NEW.quantity WHERE id = NEW.order_id;
    PERFORM add_to_position(
        o.account, o.strategy, o.symbol,
        sign * NEW.quantity - CASE WHEN NEW.commission_asset = s.base_asset THEN NEW.commission ELSE 0 END,
        -sign * NEW.quote_quantity - CASE WHEN NEW.commission_asset = s.quote_asset THEN NEW.commission ELSE 0 END,
        1, NEW.traded_at
    ) FROM orders AS o INNER JOIN symbols AS s ON s.symbol = o.symbol WHERE o.id = NEW.order_id;
    RETURN NULL;
END $$;

CREATE TRIGGER fills_add_to_totals AFTER INSERT ON fills
FOR EACH ROW EXECUTE FUNCTION add_fill_to_totals();

CREATE FUNCTION take_charge_from_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_position(NEW.account, NEW.strategy, NEW.symbol, -NEW.quantity, 0, 0, NULL);
    RETURN NULL;
END $$;

CREATE TRIGGER fee_charges_take_from_totals AFTER INSERT ON fee_charges
FOR EACH ROW EXECUTE FUNCTION take_charge_from_totals();

CREATE FUNCTION take_write_off_from_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_position(NEW.account, NEW.strategy, NEW.symbol, -NEW.quantity, NEW.proceeds, 0, NULL);
    RETURN NULL;
END $$;

CREATE TRIGGER write_offs_take_from_totals AFTER INSERT ON write_offs
FOR EACH ROW EXECUTE FUNCTION take_write_off_from_totals();

-- What each strategy owns: its fills, less the fees that were taken in the asset itself, less what was written off.
-- quote_flow is what was taken in less what was paid, net of fees in the quote asset.
CREATE OR REPLACE VIEW positions AS
SELECT account, strategy, symbol, quantity, quote_flow, fills, last_traded_at FROM position_totals;
