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

-- Takes permits of these costs, as many in their order as still fit into `allowed` in `window_seconds`, and says
-- how many were granted and how long the first of the others has to wait. `seen` is what the exchange said has been
-- used in its present minute: what is above our own count was used by somebody else on this address, and counts too.
CREATE FUNCTION take_permits(
    budget text, costs integer [], allowed integer, window_seconds double precision,
    seen integer DEFAULT NULL,
    OUT granted integer, OUT wait_seconds double precision
) LANGUAGE plpgsql AS $$
DECLARE
    shut timestamptz;
    present double precision;
    slot_now bigint;
    used bigint;
    taken bigint := 0;
    freed bigint;
    foreign_use bigint;
BEGIN
    granted := 0;
    wait_seconds := 0;
    INSERT INTO budgets (name) VALUES (budget) ON CONFLICT DO NOTHING;
    SELECT closed_until INTO shut FROM budgets WHERE name = budget FOR UPDATE;
    present := extract(EPOCH FROM clock_timestamp());
    IF shut > clock_timestamp() THEN
        wait_seconds := extract(EPOCH FROM shut) - present;
        RETURN;
    END IF;
    slot_now := floor(present * 10);
    -- slots from the future are left by a clock that was set back: they would block for ever
    DELETE FROM budget_grants g WHERE g.name = budget
    AND (g.slot < slot_now - ceil(window_seconds * 10) OR g.slot > slot_now + 10);
    SELECT coalesce(sum(g.cost), 0), seen - coalesce(sum(g.cost) FILTER (WHERE g.slot >= slot_now - slot_now % 600), 0)
    INTO used, foreign_use FROM budget_grants g WHERE g.name = budget;
    IF foreign_use > 0 THEN
        INSERT INTO budget_grants VALUES (budget, slot_now, foreign_use)
        ON CONFLICT (name, slot) DO UPDATE SET cost = budget_grants.cost + excluded.cost;
        used := used + foreign_use;
    END IF;
    WHILE granted < cardinality(costs) AND used + taken + costs[granted + 1] <= allowed LOOP
        granted := granted + 1;
        taken := taken + costs[granted];
    END LOOP;
    IF granted > 0 THEN
        INSERT INTO budget_grants VALUES (budget, slot_now, taken)
        ON CONFLICT (name, slot) DO UPDATE SET cost = budget_grants.cost + excluded.cost;
    END IF;
    IF granted < cardinality(costs) THEN
        SELECT min(s.slot) INTO freed FROM (
            SELECT g.slot, sum(g.cost) OVER (ORDER BY g.slot) AS released FROM budget_grants g WHERE g.name = budget
        ) s WHERE s.released >= used + taken + costs[granted + 1] - allowed;
        wait_seconds := greatest(0.02, (coalesce(freed, slot_now) + 1) / 10.0 + window_seconds - present);
    END IF;
END $$;
