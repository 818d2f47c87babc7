-- When the exchange will stop trading symbols, by its schedule as last seen.
CREATE TABLE delistings (
    symbol text PRIMARY KEY REFERENCES symbols,
    delist_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL         -- the exchange's clock
);

CREATE TABLE delisting_looks (
    one boolean PRIMARY KEY DEFAULT TRUE CHECK (one),
    looked_at timestamptz NOT NULL       -- the exchange's clock
);
