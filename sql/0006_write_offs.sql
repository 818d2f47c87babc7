-- Coins that are no longer there, taken out of a strategy's position by a person who knows where they went.
CREATE TABLE write_offs (
    drift_id bigint NOT NULL REFERENCES drifts,
    account text NOT NULL,
    strategy text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    quantity numeric NOT NULL CHECK (quantity > 0),
    proceeds numeric NOT NULL CHECK (proceeds >= 0), -- what they were sold for by hand, in the quote asset
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    written_off_by text NOT NULL CHECK (btrim(written_off_by) <> ''),
    written_off_at timestamptz NOT NULL, -- the exchange's clock
    PRIMARY KEY (drift_id, strategy)
);
CREATE INDEX ON write_offs (account, strategy, symbol);

CREATE TRIGGER write_offs_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON write_offs
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What each strategy owns: its fills, less the fees that were taken in the asset itself, less what was written off.
CREATE OR REPLACE VIEW positions AS
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
    ) - (
        SELECT coalesce(sum(w.quantity), 0) FROM write_offs AS w
        WHERE w.account = o.account AND w.strategy = o.strategy AND w.symbol = o.symbol
    ) AS quantity,
    sum(
        CASE f.side WHEN 'BUY' THEN -f.quote_quantity ELSE f.quote_quantity END
        - CASE WHEN f.commission_asset = s.quote_asset THEN f.commission ELSE 0 END
    ) + (
        SELECT coalesce(sum(w.proceeds), 0) FROM write_offs AS w
        WHERE w.account = o.account AND w.strategy = o.strategy AND w.symbol = o.symbol
    ) AS quote_flow,                     -- what was taken in less what was paid, net of fees in the quote
    count(*) AS fills,
    max(f.traded_at) AS last_traded_at
FROM fills AS f
INNER JOIN orders AS o ON f.order_id = o.id
INNER JOIN symbols AS s ON o.symbol = s.symbol
GROUP BY o.account, o.strategy, o.symbol;
