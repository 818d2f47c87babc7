-- An order of ours whose status at the exchange is not known is a drift: its symbol waits, the others trade.
ALTER TABLE drifts DROP CONSTRAINT drifts_reason, ADD CONSTRAINT drifts_reason CHECK (
    reason IN (
        'duplicate_order', 'unknown_order', 'order_state', 'unknown_status', 'executed_quantity', 'balance', 'other'
    )
);
