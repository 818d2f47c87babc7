-- A drift is identified by data: its symbol, a reason, the order at the exchange and the facts that differ. Words are
-- rendered from these and may change at any time.
ALTER TABLE drifts ADD COLUMN reason text, ADD COLUMN facts jsonb;

UPDATE drifts SET reason = 'duplicate_order', facts = jsonb_build_object(
    'client_order_id', substring(detail FROM '^order (\S+) is there'),
    'times', substring(detail FROM 'is there (\d+) times')
) WHERE detail ~ '^order \S+ is there \d+ times';
UPDATE drifts SET reason = 'unknown_order', facts = jsonb_build_object(
    'client_order_id', substring(detail FROM '^order (\S+) is at')
) WHERE detail ~ '^order \S+ is at the exchange and not in the books$';
UPDATE drifts SET reason = 'order_state', facts = jsonb_build_object(
    'client_order_id', substring(detail FROM '^order (\S+) is'),
    'exchange', substring(detail FROM ' is (\w+) at the exchange'),
    'books', substring(detail FROM '(\w+) in the books$')
) WHERE detail ~ '^order \S+ is \w+ at the exchange, \w+ in the books$';
UPDATE drifts SET reason = 'executed_quantity', facts = jsonb_build_object(
    'client_order_id', substring(detail FROM '^order (\S+):'),
    'exchange', substring(detail FROM ': (\S+) executed'),
    'books', substring(detail FROM '(\S+) booked$')
) WHERE detail ~ '^order \S+: \S+ executed at the exchange, \S+ booked$';
UPDATE drifts SET reason = 'balance', facts = jsonb_build_object(
    'asset', substring(detail FROM '^\S+ (\S+) in the books'),
    'books', substring(detail FROM '^(\S+) '),
    'exchange', substring(detail FROM '(\S+) at the exchange$')
) WHERE kind = 'balance';
-- Nothing else was ever written; whatever it may be is kept, and never found again.
UPDATE drifts SET reason = 'other', facts = jsonb_build_object('detail', detail) WHERE reason IS NULL;

DROP INDEX drifts_open;
ALTER TABLE drifts
ALTER COLUMN reason SET NOT NULL,
ALTER COLUMN facts SET NOT NULL,
DROP COLUMN kind,
DROP COLUMN detail,
ADD CONSTRAINT drifts_reason CHECK (
    reason IN ('duplicate_order', 'unknown_order', 'order_state', 'executed_quantity', 'balance', 'other')
),
ADD CONSTRAINT drifts_order CHECK (
    reason = 'other' OR (reason = 'balance') = (exchange_order_id IS NULL)
);
CREATE UNIQUE INDEX drifts_open
ON drifts (account, symbol, reason, facts, exchange_order_id) NULLS NOT DISTINCT WHERE cleared_at IS NULL;

-- What keeps its symbol from being traded.
CREATE VIEW open_drifts AS
SELECT id, account, symbol, reason, facts, exchange_order_id, found_at FROM drifts WHERE cleared_at IS NULL;
