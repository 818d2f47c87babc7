-- A stop may lie at the exchange together with a limit order above it, in one order list (OCO) over the same coins: where
-- one of the two is executed, the other one expires. In the books each is an order; the limit names its stop.
ALTER TABLE orders
ADD COLUMN listed_with bigint UNIQUE REFERENCES orders,  -- the stop that the order was placed with
ADD COLUMN paired boolean NOT NULL DEFAULT FALSE,        -- as long as that stop can still be executed
DROP CONSTRAINT orders_type,
DROP CONSTRAINT orders_limit,
DROP CONSTRAINT orders_limit_time,
DROP CONSTRAINT orders_leg,
ADD CONSTRAINT orders_leg CHECK (leg IN ('entry', 'exit', 'stop', 'sellout', 'manual', 'trim', 'target')),
ADD CONSTRAINT orders_type CHECK (type IN ('LIMIT', 'LIMIT_MAKER', 'MARKET', 'STOP_LOSS', 'STOP_LOSS_LIMIT')),
ADD CONSTRAINT orders_limit CHECK ((type IN ('LIMIT', 'LIMIT_MAKER', 'STOP_LOSS_LIMIT')) = (price IS NOT NULL)),
ADD CONSTRAINT orders_limit_time CHECK ((type IN ('LIMIT', 'STOP_LOSS_LIMIT')) = (time_in_force IS NOT NULL)),
ADD CONSTRAINT orders_target CHECK (leg <> 'target' OR (side = 'SELL' AND stop_price IS NULL)),
ADD CONSTRAINT orders_listed CHECK (
    (listed_with IS NULL AND NOT paired)
    OR (listed_with IS NOT NULL AND type = 'LIMIT_MAKER' AND side = 'SELL' AND leg IN ('target', 'exit'))
);

-- The exchange executes one of a pair, so the pair is one sale of the position.
DROP INDEX orders_one_live_sale;
CREATE UNIQUE INDEX orders_one_live_sale ON orders (account, strategy, symbol)
WHERE side = 'SELL' AND NOT yields AND NOT paired
AND state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED');

CREATE OR REPLACE VIEW live_orders AS
SELECT * FROM orders WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED');

CREATE FUNCTION refuse_odd_pair() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT NEW.paired OR NOT EXISTS (
        SELECT FROM orders AS stop
        WHERE stop.id = NEW.listed_with AND stop.leg = 'stop' AND stop.stop_price IS NOT NULL
        AND stop.state = 'PLANNED' AND stop.listed_with IS NULL AND stop.account = NEW.account
        AND stop.strategy = NEW.strategy AND stop.symbol = NEW.symbol AND stop.quantity = NEW.quantity
    ) THEN
        RAISE EXCEPTION 'an order is listed with a planned stop of its own position and quantity'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER orders_listed_with_their_stop BEFORE INSERT ON orders
FOR EACH ROW WHEN (NEW.listed_with IS NOT NULL) EXECUTE FUNCTION refuse_odd_pair();

-- Once the stop is over, what is left of the other order is a sale like any other; it yields to what the stop yields to.
-- A pair that was never sent ends together.
CREATE FUNCTION part_pair() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.to_state = 'DENIED' THEN
        INSERT INTO order_events (order_id, from_state, to_state, at, detail, flow_run)
        SELECT o.id, 'PLANNED', 'DENIED', NEW.at, NEW.detail, NEW.flow_run
        FROM orders AS o WHERE o.listed_with = NEW.order_id AND o.state = 'PLANNED';
    END IF;
    UPDATE orders AS o SET paired = FALSE, yields = stop.yields
    FROM orders AS stop WHERE stop.id = NEW.order_id AND o.listed_with = stop.id AND o.paired;
    RETURN NULL;
END $$;

CREATE TRIGGER order_events_part_pair AFTER INSERT ON order_events
FOR EACH ROW WHEN (NEW.to_state IN ('FILLED', 'CANCELED', 'EXPIRED', 'DENIED', 'REJECTED', 'ABSENT'))
EXECUTE FUNCTION part_pair();

CREATE OR REPLACE FUNCTION end_yielding() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE orders SET yields = FALSE
    FROM orders AS successor
    WHERE successor.id = NEW.order_id AND successor.replaces IN (orders.id, orders.listed_with) AND orders.yields;
    RETURN NULL;
END $$;
