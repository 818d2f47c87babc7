-- A coin that was exchanged for another number of coins under the same symbol, booked by a person.
CREATE TABLE splits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    ratio numeric NOT NULL CHECK (ratio > 0 AND ratio <> 1), -- new coins for an old one
    candle timestamptz NOT NULL,         -- the first candle in new coins
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    booked_by text NOT NULL CHECK (btrim(booked_by) <> ''),
    booked_at timestamptz NOT NULL       -- the exchange's clock
);
CREATE INDEX ON splits (account, symbol, booked_at);

CREATE TRIGGER splits_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON splits
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Money does not change with the coins' number; what the exchange's eight places cannot hold is lost.
CREATE FUNCTION scale_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE position_totals SET quantity = trunc(quantity * NEW.ratio, 8)
    WHERE account = NEW.account AND symbol = NEW.symbol;
    RETURN NULL;
END $$;

CREATE TRIGGER splits_scale_totals AFTER INSERT ON splits
FOR EACH ROW EXECUTE FUNCTION scale_totals();

-- What the account held of an asset, and what positions said, when the two were last compared.
CREATE TABLE balance_looks (
    account text NOT NULL,
    asset text NOT NULL,
    total numeric NOT NULL CHECK (total >= 0),
    owned numeric NOT NULL,
    looked_at timestamptz NOT NULL,      -- the exchange's clock
    PRIMARY KEY (account, asset)
);
