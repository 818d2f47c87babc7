-- What a person decided on a quarantined row: it is stored after all, or it was rightly refused. Without one it is open.
CREATE TABLE quarantine_decisions (
    quarantined_id bigint PRIMARY KEY REFERENCES quarantined_candles,
    state text NOT NULL CHECK (state IN ('released', 'dismissed')),
    command bigint NOT NULL REFERENCES commands,
    batch_id bigint REFERENCES batches,
    CHECK ((state = 'released') = (batch_id IS NOT NULL))
);
CREATE TRIGGER quarantine_decisions_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON quarantine_decisions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Beside whatever a person may order already.
DO $$
DECLARE
    it record;
BEGIN
    SELECT c.conname, pg_get_expr(c.conbin, c.conrelid) AS rule INTO STRICT it
    FROM pg_constraint AS c
    INNER JOIN pg_attribute AS a ON c.conrelid = a.attrelid AND c.conkey = ARRAY[a.attnum]
    WHERE c.conrelid = 'commands'::regclass AND c.contype = 'c' AND a.attname = 'command';
    EXECUTE format(
        'ALTER TABLE commands DROP CONSTRAINT %1$I, ADD CONSTRAINT %1$I CHECK (%2$s OR command IN (%3$L, %4$L))',
        it.conname, it.rule, 'release', 'dismiss'
    );
END $$;

CREATE VIEW quarantine AS
SELECT
    q.id, q.batch_id, q.symbol, q."interval", q.open_time, q.reasons, q.raw, coalesce(d.state, 'open') AS state,
    c.why, c.by_whom, c.at AS decided_at, d.batch_id AS released_by
FROM quarantined_candles AS q
LEFT JOIN quarantine_decisions AS d ON q.id = d.quarantined_id
LEFT JOIN commands AS c ON d.command = c.id;

COMMENT ON TABLE quarantine_decisions IS 'What a person decided on quarantined rows; a row without a decision is open';
COMMENT ON COLUMN quarantine_decisions.quarantined_id IS 'The row of quarantined_candles';
COMMENT ON COLUMN quarantine_decisions.state IS 'released (stored as a candle) or dismissed (rightly refused)';
COMMENT ON COLUMN quarantine_decisions.command IS 'The command, with who and why';
COMMENT ON COLUMN quarantine_decisions.batch_id IS 'The batch that stored the released row; NULL where it was dismissed';
COMMENT ON VIEW quarantine IS 'Rows that the suite refused, with what a person decided on them';
COMMENT ON COLUMN quarantine.id IS 'Number of the row, as `eightbells quarantine` takes it';
COMMENT ON COLUMN quarantine.batch_id IS 'The batch in which it came first';
COMMENT ON COLUMN quarantine.symbol IS 'Name of the symbol at the exchange, such as BTCUSDT';
COMMENT ON COLUMN quarantine."interval" IS 'Length of the candle: 4h';
COMMENT ON COLUMN quarantine.open_time IS 'Open time of the row; NULL where it cannot be read';
COMMENT ON COLUMN quarantine.reasons IS 'Code of every rule that the row breaks';
COMMENT ON COLUMN quarantine.raw IS 'The row as the exchange sent it';
COMMENT ON COLUMN quarantine.state IS 'open, released (stored as a candle) or dismissed (rightly refused)';
COMMENT ON COLUMN quarantine.why IS 'The reason of the decision; NULL while it is open';
COMMENT ON COLUMN quarantine.by_whom IS 'Who decided; NULL while it is open';
COMMENT ON COLUMN quarantine.decided_at IS 'When, by the database''s clock; NULL while it is open';
COMMENT ON COLUMN quarantine.released_by IS 'The batch that stored it; NULL where it was not released';
