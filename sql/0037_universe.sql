-- The universe by rule: when it was chosen, which symbols were members from when to when, and why.

-- A rule is named by the hash of its settings. Trading chooses as its cycles come to pass (`cycle`); a backtest chooses
-- for the time before trading has first chosen by the rule, and replaces what an earlier backtest has chosen.
CREATE TABLE universe_choices (
    rule text NOT NULL,
    made_by text NOT NULL CHECK (made_by IN ('cycle', 'backtest')),
    chosen_at timestamptz NOT NULL,
    settings jsonb NOT NULL,
    wanted integer NOT NULL CHECK (wanted > 0),
    found integer NOT NULL CHECK (found BETWEEN 0 AND wanted),
    left_out jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (rule, made_by, chosen_at)
);

CREATE TABLE universe_members (
    rule text NOT NULL,
    made_by text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    joined_at timestamptz NOT NULL,
    why_joined text NOT NULL,
    left_at timestamptz CHECK (left_at > joined_at),
    why_left text,
    PRIMARY KEY (rule, made_by, symbol, joined_at),
    FOREIGN KEY (rule, made_by, joined_at) REFERENCES universe_choices (rule, made_by, chosen_at),
    CHECK ((left_at IS NULL) = (why_left IS NULL))
);
CREATE UNIQUE INDEX universe_members_open ON universe_members (rule, made_by, symbol) WHERE left_at IS NULL;

-- A symbol is a member once at a time. What trading went by is not changed: a membership ends once.
CREATE FUNCTION guard_membership() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.made_by = 'cycle' THEN
            RAISE EXCEPTION 'the membership of % is kept', OLD.symbol USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND (
        OLD.left_at IS NOT NULL
        OR (OLD.rule, OLD.made_by, OLD.symbol, OLD.joined_at, OLD.why_joined)
        IS DISTINCT FROM (NEW.rule, NEW.made_by, NEW.symbol, NEW.joined_at, NEW.why_joined)
    ) THEN
        RAISE EXCEPTION 'a membership of % only ends, and once', NEW.symbol USING ERRCODE = 'restrict_violation';
    END IF;
    -- one transaction at a time adds to a rule, so that each sees the others' rows
    PERFORM pg_advisory_xact_lock(hashtextextended('universe ' || NEW.rule || NEW.made_by, 0));
    IF EXISTS (
        SELECT FROM universe_members AS m
        WHERE m.rule = NEW.rule AND m.made_by = NEW.made_by AND m.symbol = NEW.symbol
        AND m.joined_at <> NEW.joined_at
        AND tstzrange(m.joined_at, m.left_at) && tstzrange(NEW.joined_at, NEW.left_at)
    ) THEN
        RAISE EXCEPTION '% is a member at that time already', NEW.symbol USING ERRCODE = 'exclusion_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER universe_members_guarded BEFORE INSERT OR UPDATE OR DELETE ON universe_members
FOR EACH ROW EXECUTE FUNCTION guard_membership();

-- The schedule of delistings as it was known at any time: delistings itself only has it as last seen.
CREATE TABLE delisting_notices (
    symbol text NOT NULL REFERENCES symbols,
    delist_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    withdrawn_at timestamptz CHECK (withdrawn_at >= seen_at),
    PRIMARY KEY (symbol, delist_at, seen_at)
);
INSERT INTO delisting_notices (symbol, delist_at, seen_at)
SELECT symbol, delist_at, seen_at FROM delistings;

COMMENT ON TABLE universe_choices IS 'When the rule of [universe] chose members';
COMMENT ON COLUMN universe_choices.rule IS 'Hash of the settings of the rule';
COMMENT ON COLUMN universe_choices.made_by IS 'cycle (traded on) or backtest (computed for a past span)';
COMMENT ON COLUMN universe_choices.chosen_at IS 'The close up to which candles count';
COMMENT ON COLUMN universe_choices.settings IS 'The rule: [universe] and quote_asset';
COMMENT ON COLUMN universe_choices.wanted IS 'How many members the rule asks for';
COMMENT ON COLUMN universe_choices.found IS 'How many it found';
COMMENT ON COLUMN universe_choices.left_out
IS 'By symbol the reason for which it was not ranked; symbols ranked too low are not in it';
COMMENT ON COLUMN universe_choices.recorded_at IS 'When the row was written, by the database''s clock';
COMMENT ON TABLE universe_members IS 'From when to when symbols were members of the universe by rule';
COMMENT ON COLUMN universe_members.rule IS 'Hash of the settings of the rule';
COMMENT ON COLUMN universe_members.made_by IS 'cycle (traded on) or backtest (computed for a past span)';
COMMENT ON COLUMN universe_members.symbol IS 'Name of the symbol at the exchange, such as BTCUSDT';
COMMENT ON COLUMN universe_members.joined_at IS 'The choice with which it became a member';
COMMENT ON COLUMN universe_members.why_joined IS 'Its rank, or that the settings include it';
COMMENT ON COLUMN universe_members.left_at IS 'The close from which on it was no member; NULL while it is one';
COMMENT ON COLUMN universe_members.why_left IS 'Why it was a member no longer; NULL while it is one';
COMMENT ON TABLE delisting_notices IS 'Entries of the exchange''s schedule of delistings, from when to when it had them';
COMMENT ON COLUMN delisting_notices.symbol IS 'Name of the symbol at the exchange, such as BTCUSDT';
COMMENT ON COLUMN delisting_notices.delist_at IS 'When the exchange will stop trading it';
COMMENT ON COLUMN delisting_notices.seen_at IS 'When the schedule first had the entry, by the exchange''s clock';
COMMENT ON COLUMN delisting_notices.withdrawn_at IS 'When the entry was gone before its time; NULL where it stayed';
