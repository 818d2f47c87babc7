-- What every process on this address may still ask of the exchange. Grants are counted in slots of a
-- tenth of a second; a slot counts until it lies wholly outside the window, so the limit is a hard one.

CREATE TABLE budgets (
    name text PRIMARY KEY,
    closed_until timestamptz,            -- a ban, or Retry-After: nothing is granted before
    reason text
);

CREATE TABLE budget_grants (
    name text NOT NULL REFERENCES budgets ON DELETE CASCADE,
    slot bigint NOT NULL,
    cost integer NOT NULL,
    PRIMARY KEY (name, slot)
);

-- Takes `cost` from the budget `budget` of `allowed` in `window_seconds`, or says how many seconds to wait (0: granted).
-- Budgets are always taken in the order of their names, so that two takers cannot lock each other out.
CREATE FUNCTION take_permit(budget text, cost integer, allowed integer, window_seconds double precision)
RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    shut timestamptz;
    present double precision;
    slot_now bigint;
    oldest_kept bigint;
    used bigint;
    over bigint;
    freed bigint;
BEGIN
    INSERT INTO budgets (name) VALUES (budget) ON CONFLICT DO NOTHING;
    SELECT closed_until INTO shut FROM budgets WHERE name = budget FOR UPDATE;
    present := extract(EPOCH FROM clock_timestamp());
    IF shut > clock_timestamp() THEN
        RETURN extract(EPOCH FROM shut) - present;
    END IF;
    slot_now := floor(present * 10);
    oldest_kept := slot_now - ceil(window_seconds * 10);
    -- slots from the future are left by a clock that was set back: they would block for ever
    DELETE FROM budget_grants g WHERE g.name = budget AND (g.slot < oldest_kept OR g.slot > slot_now + 10);
    SELECT coalesce(sum(g.cost), 0) INTO used FROM budget_grants g WHERE g.name = budget;
    IF used + take_permit.cost <= allowed THEN
        INSERT INTO budget_grants VALUES (budget, slot_now, take_permit.cost)
        ON CONFLICT (name, slot) DO UPDATE SET cost = budget_grants.cost + excluded.cost;
        RETURN 0;
    END IF;
    over := used + take_permit.cost - allowed;
    SELECT min(s.slot) INTO freed FROM (
        SELECT g.slot, sum(g.cost) OVER (ORDER BY g.slot) AS released FROM budget_grants g WHERE g.name = budget
    ) s WHERE s.released >= over;
    RETURN greatest(0.02, (coalesce(freed, slot_now) + 1) / 10.0 + window_seconds - present);
END $$;
