-- What a cycle and a reconciliation read of the books no longer grows with the number of fills ever booked.

-- The cost of a position after its older bookings. Only what was booked later is replayed on top of it.
CREATE TABLE position_costs (
    account text NOT NULL,
    strategy text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    quantity numeric NOT NULL,
    cost numeric NOT NULL,
    realised numeric NOT NULL,
    at timestamptz NOT NULL,             -- of the last booking that is in it
    number bigint NOT NULL,              -- of that booking: trade, charge, drift, command or split
    fills bigint NOT NULL,               -- how many the position had by then
    PRIMARY KEY (account, strategy, symbol)
);
CREATE INDEX fills_in_order ON fills (account, symbol, traded_at, trade_id);

-- A booking that is older than the kept cost would be missing in it: the cost is computed again from the first booking.
CREATE FUNCTION withdraw_costs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    booked jsonb := to_jsonb(NEW);
BEGIN
    DELETE FROM position_costs AS c
    WHERE c.account = NEW.account AND c.symbol = NEW.symbol
    AND c.strategy = coalesce(
        booked ->> 'strategy',
        (SELECT o.strategy FROM orders AS o WHERE o.id = cast(booked ->> 'order_id' AS bigint)),
        c.strategy -- a split is of all strategies
    )
    AND (c.at, c.number) >= (
        cast(booked ->> TG_ARGV[0] AS timestamptz), cast(booked ->> TG_ARGV[1] AS bigint)
    );
    RETURN NULL;
END $$;

-- Triggers fire in the order of their names. These come after those that update position_totals, whose row lock makes
-- a booking wait for whoever keeps the cost at that moment.
CREATE TRIGGER fills_withdraw_costs AFTER INSERT ON fills
FOR EACH ROW EXECUTE FUNCTION withdraw_costs('traded_at', 'trade_id');
CREATE TRIGGER fee_charges_withdraw_costs AFTER INSERT ON fee_charges
FOR EACH ROW EXECUTE FUNCTION withdraw_costs('charged_at', 'id');
CREATE TRIGGER write_offs_withdraw_costs AFTER INSERT ON write_offs
FOR EACH ROW EXECUTE FUNCTION withdraw_costs('written_off_at', 'drift_id');
CREATE TRIGGER adoptions_withdraw_costs AFTER INSERT ON adoptions
FOR EACH ROW EXECUTE FUNCTION withdraw_costs('adopted_at', 'command');
CREATE TRIGGER splits_withdraw_costs AFTER INSERT ON splits
FOR EACH ROW EXECUTE FUNCTION withdraw_costs('booked_at', 'id');

-- Fees in an asset that was neither bought, sold nor paid with, summed as they are booked.
CREATE TABLE fee_totals (
    account text NOT NULL,
    asset text NOT NULL,
    amount numeric NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (account, asset)
);
INSERT INTO fee_totals (account, asset, amount)
SELECT f.account, f.commission_asset, sum(f.commission) AS amount
FROM fills AS f INNER JOIN symbols AS s ON f.symbol = s.symbol
WHERE f.commission_asset NOT IN (s.base_asset, s.quote_asset)
GROUP BY f.account, f.commission_asset;

CREATE FUNCTION add_fee_to_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fee_totals AS t (account, asset, amount)
    SELECT NEW.account, NEW.commission_asset, NEW.commission FROM symbols AS s
    WHERE s.symbol = NEW.symbol AND NEW.commission > 0
    AND NEW.commission_asset NOT IN (s.base_asset, s.quote_asset)
    ON CONFLICT (account, asset) DO UPDATE SET amount = t.amount + excluded.amount;
    RETURN NULL;
END $$;

CREATE TRIGGER fills_total_fees AFTER INSERT ON fills
FOR EACH ROW EXECUTE FUNCTION add_fee_to_totals();

-- The fills of one run.
CREATE INDEX fills_of_run ON fills (account, flow_run);

COMMENT ON TABLE position_costs IS 'Cost of a position after its older bookings; later ones are replayed on top of it';
COMMENT ON COLUMN position_costs.account IS 'Account whose books these are: its mode';
COMMENT ON COLUMN position_costs.strategy IS 'Strategy that holds the position';
COMMENT ON COLUMN position_costs.symbol IS 'Symbol at the exchange, such as BTCUSDT';
COMMENT ON COLUMN position_costs.quantity IS 'What was held then, net of fees in the asset itself';
COMMENT ON COLUMN position_costs.cost IS 'What it had cost, in the quote asset';
COMMENT ON COLUMN position_costs.realised IS 'Profit that sales had realised by then, in the quote asset';
COMMENT ON COLUMN position_costs.at IS 'Time of the last booking that is in it';
COMMENT ON COLUMN position_costs.number IS 'Number of that booking: of a trade, charge, drift, command or split';
COMMENT ON COLUMN position_costs.fills IS 'How many fills the position had by then';
COMMENT ON TABLE fee_totals IS 'Fees in an asset that was neither bought, sold nor paid with, such as BNB';
COMMENT ON COLUMN fee_totals.account IS 'Account whose books these are: its mode';
COMMENT ON COLUMN fee_totals.asset IS 'Asset that the fees were taken in';
COMMENT ON COLUMN fee_totals.amount IS 'Sum of the fees, in that asset';
