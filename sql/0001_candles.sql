-- Candles, what was known of them and when, and what was found wrong.

CREATE TABLE symbols (
    symbol text PRIMARY KEY,
    status text NOT NULL,
    base_asset text NOT NULL,
    quote_asset text NOT NULL,
    rules jsonb NOT NULL,                -- the symbol's entry in exchangeInfo, as last seen
    first_open_time timestamptz,         -- its first four-hour candle, once asked for
    seen_at timestamptz NOT NULL
);

-- One batch is one transaction of candles. Ids are handed out under a lock that is held until the commit,
-- so batches commit in the order of their ids: a reader that sees batch n sees all before it.
CREATE TABLE batches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL CHECK (source IN ('rest', 'ws', 'archive')),
    "interval" text NOT NULL,
    known_at timestamptz NOT NULL,       -- the exchange's clock when the rows were judged
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    checked integer NOT NULL DEFAULT 0,
    inserted integer NOT NULL DEFAULT 0,
    revised integer NOT NULL DEFAULT 0,
    quarantined integer NOT NULL DEFAULT 0,
    flow_run text
);

-- What the suite said of one symbol's rows in one batch. A decision may only refer to a success that ends
-- with the very candle it decides on (see evaluations).
CREATE TABLE validations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id bigint NOT NULL REFERENCES batches,
    suite text NOT NULL,
    symbol text NOT NULL,
    "interval" text NOT NULL,
    last_open_time timestamptz NOT NULL, -- the newest candle that was judged
    success boolean NOT NULL,
    checked integer NOT NULL CHECK (checked > 0),
    failed integer NOT NULL CHECK (failed BETWEEN 0 AND checked),
    statistics jsonb NOT NULL DEFAULT '{}',
    CHECK (success = (failed = 0)),
    UNIQUE (batch_id, symbol),
    UNIQUE (symbol, "interval", last_open_time, success, id)
);

CREATE TABLE candles (
    symbol text NOT NULL,
    "interval" text NOT NULL,
    open_time timestamptz NOT NULL,
    close_time timestamptz NOT NULL,
    open numeric NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    volume numeric NOT NULL,
    quote_volume numeric NOT NULL,
    trades bigint NOT NULL,
    taker_buy_base numeric NOT NULL,
    taker_buy_quote numeric NOT NULL,
    source text NOT NULL,
    batch_id bigint NOT NULL,            -- no foreign key: a check for each row would cost a third of the speed
    PRIMARY KEY (symbol, "interval", open_time),
    -- the suite finds these first, row by row; here they make a bug an error and not a fact
    CHECK (close_time >= open_time),
    CHECK (low > 0 AND low <= open AND low <= close AND open <= high AND close <= high),
    CHECK (volume >= 0 AND quote_volume >= 0 AND trades >= 0),
    CHECK (taker_buy_base BETWEEN 0 AND volume)
);

-- Versions of candles that the exchange has since restated: known from batch_id until replaced_by.
CREATE TABLE candle_revisions (
    LIKE candles,
    replaced_by bigint NOT NULL REFERENCES batches,
    PRIMARY KEY (symbol, "interval", open_time, replaced_by)
);

CREATE FUNCTION keep_revisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO candle_revisions
    SELECT before.*, after.batch_id
    FROM before JOIN after USING (symbol, "interval", open_time);
    RETURN NULL;
END $$;

CREATE TRIGGER candles_keep_revisions AFTER UPDATE ON candles
REFERENCING OLD TABLE AS before NEW TABLE AS after
FOR EACH STATEMENT EXECUTE FUNCTION keep_revisions();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% are never changed or removed', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER candles_are_kept BEFORE DELETE OR TRUNCATE ON candles
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER candle_revisions_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON candle_revisions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The candles as they were known when a batch had just been committed.
CREATE FUNCTION candles_as_of_batch(batch bigint) RETURNS SETOF candles LANGUAGE sql STABLE AS $$
    SELECT * FROM candles WHERE batch_id <= batch
    UNION ALL
    SELECT symbol, "interval", open_time, close_time, open, high, low, close, volume, quote_volume, trades,
           taker_buy_base, taker_buy_quote, source, batch_id
    FROM candle_revisions WHERE batch_id <= batch AND batch < replaced_by
$$;

-- The candles as they were known at a moment of the exchange's clock. That is not the state after one batch: a
-- batch may have been judged before another and committed after it.
CREATE FUNCTION candles_as_of(moment timestamptz) RETURNS SETOF candles LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (v.symbol, v."interval", v.open_time) v.*
    FROM (
        SELECT * FROM candles
        UNION ALL
        SELECT symbol, "interval", open_time, close_time, open, high, low, close, volume, quote_volume, trades,
               taker_buy_base, taker_buy_quote, source, batch_id
        FROM candle_revisions
    ) AS v
    INNER JOIN batches AS b ON v.batch_id = b.id
    WHERE b.known_at <= moment
    ORDER BY v.symbol, v."interval", v.open_time, v.batch_id DESC
$$;

-- Slots of the grid without a candle: open until asked again, then repaired or absent for good.
CREATE TABLE candle_gaps (
    symbol text NOT NULL,
    "interval" text NOT NULL,
    open_time timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'repaired', 'absent')),
    asked smallint NOT NULL CHECK (asked >= 1),
    found_at timestamptz NOT NULL,
    settled_at timestamptz,
    PRIMARY KEY (symbol, "interval", open_time),
    CHECK (state <> 'absent' OR asked >= 2),
    CHECK ((state = 'open') = (settled_at IS NULL))
);

-- Rows that the suite refused, as they came, with every reason. The same bad row is kept once.
CREATE TABLE quarantined_candles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id bigint NOT NULL REFERENCES batches,
    symbol text NOT NULL,
    "interval" text NOT NULL,
    open_time timestamptz,
    reasons text [] NOT NULL CHECK (cardinality(reasons) > 0),
    raw jsonb NOT NULL
);
-- by its hash: an index has no room for a long row
CREATE UNIQUE INDEX quarantined_candles_once ON quarantined_candles (
    symbol, "interval", open_time, md5(raw::text)
) NULLS NOT DISTINCT;
