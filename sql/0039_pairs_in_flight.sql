-- A pair whose request died with its process: the exchange takes a list whole or not at all, so what it never took of the stop
-- it never took of the other order. That one keeps its place beside the stop until it has been asked for itself; on its own
-- it would count as a second sale beside the stop that the pair was to replace.
CREATE OR REPLACE FUNCTION part_pair() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.to_state = 'DENIED' THEN
        INSERT INTO order_events (order_id, from_state, to_state, at, detail, flow_run)
        SELECT o.id, 'PLANNED', 'DENIED', NEW.at, NEW.detail, NEW.flow_run
        FROM orders AS o WHERE o.listed_with = NEW.order_id AND o.state = 'PLANNED';
    END IF;
    UPDATE orders AS o SET paired = FALSE, yields = stop.yields
    FROM orders AS stop WHERE stop.id = NEW.order_id AND o.listed_with = stop.id AND o.paired
    AND NOT (NEW.to_state IN ('REJECTED', 'ABSENT') AND o.state IN ('SENDING', 'UNKNOWN'));
    RETURN NULL;
END $$;
