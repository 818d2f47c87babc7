-- What a person had done by hand: who, and why.
CREATE TABLE commands (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    command text NOT NULL CHECK (command IN ('sell', 'pause', 'resume')),
    arguments jsonb NOT NULL,
    why text NOT NULL CHECK (btrim(why) <> ''),
    by_whom text NOT NULL CHECK (btrim(by_whom) <> ''),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TRIGGER commands_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON commands
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A sale by hand belongs to the command that it was made by.
ALTER TABLE orders
ADD COLUMN command bigint REFERENCES commands,
DROP CONSTRAINT orders_leg_check,
ADD CONSTRAINT orders_leg CHECK (leg IN ('entry', 'exit', 'stop', 'sellout', 'manual')),
ADD CONSTRAINT orders_manual CHECK ((leg = 'manual') = (command IS NOT NULL) AND (leg <> 'manual' OR side = 'SELL'));

CREATE INDEX orders_by_hand ON orders (account, strategy, symbol) WHERE leg = 'manual';

CREATE OR REPLACE VIEW live_orders AS
SELECT * FROM orders WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED');

-- What was sold by hand while its strategy wanted to hold it. It is not bought again until the strategy was flat, or a
-- person resumed it.
CREATE VIEW sold_by_hand AS
SELECT sale.account, sale.strategy, sale.symbol, sale.sold_at
FROM (
    SELECT o.account, o.strategy, o.symbol, max(o.changed_at) AS sold_at
    FROM orders AS o
    WHERE o.leg = 'manual' AND o.executed_quantity > 0 AND NOT EXISTS (
        SELECT FROM commands AS c
        WHERE c.account = o.account AND c.command = 'resume' AND c.id > o.command
        AND c.arguments ->> 'strategy' = o.strategy AND coalesce(c.arguments ->> 'symbol', o.symbol) = o.symbol
    )
    GROUP BY o.account, o.strategy, o.symbol
) AS sale
WHERE NOT EXISTS (
    SELECT FROM evaluations AS e INNER JOIN signals AS s ON e.id = s.evaluation_id
    WHERE e.account = sale.account AND e.strategy = sale.strategy AND e.symbol = sale.symbol AND s.target = 'flat'
    AND e.open_time + interval '4 hours' > sale.sold_at
);
