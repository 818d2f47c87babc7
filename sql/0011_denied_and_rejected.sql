-- REFUSED had two meanings. DENIED: our own rules said no, or nobody wanted the order any more; nothing was sent.
-- REJECTED: it was sent, and the exchange certainly did not execute it.
ALTER TABLE order_events DISABLE TRIGGER order_events_are_kept;
UPDATE order_events SET to_state = CASE from_state WHEN 'PLANNED' THEN 'DENIED' ELSE 'REJECTED' END
WHERE to_state = 'REFUSED';
ALTER TABLE order_events ENABLE TRIGGER order_events_are_kept;

DROP INDEX orders_one_live_attempt;
ALTER TABLE orders DROP CONSTRAINT orders_check4;
ALTER TABLE orders DISABLE TRIGGER orders_state_follows_events;
UPDATE orders AS o SET
    state = (SELECT e.to_state FROM order_events AS e WHERE e.order_id = o.id ORDER BY e.id DESC LIMIT 1)
WHERE o.state = 'REFUSED';
ALTER TABLE orders ENABLE TRIGGER orders_state_follows_events;
ALTER TABLE orders ADD CONSTRAINT orders_sent_with_a_time
CHECK (state IN ('PLANNED', 'DENIED') OR request_time IS NOT NULL);

-- One decision, one order: another attempt only after one that certainly does not exist.
CREATE UNIQUE INDEX orders_one_live_attempt ON orders (signal_id, leg)
WHERE leg IN ('entry', 'exit') AND state NOT IN ('ABSENT', 'DENIED', 'REJECTED');

UPDATE order_transitions SET to_state = 'DENIED' WHERE from_state = 'PLANNED' AND to_state = 'REFUSED';
UPDATE order_transitions SET to_state = 'REJECTED' WHERE from_state = 'SENDING' AND to_state = 'REFUSED';

UPDATE drifts AS d SET facts = jsonb_set(d.facts, '{books}', to_jsonb(o.state)) FROM orders AS o
WHERE d.facts ->> 'books' = 'REFUSED' AND o.account = d.account AND o.client_order_id = d.facts ->> 'client_order_id';
