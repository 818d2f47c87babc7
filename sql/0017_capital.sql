-- The capital of each strategy, as it was put in and taken out. It is the settings', noted at the start of each cycle. A
-- change of it is a flow: equity moves by it, and it is neither profit nor loss.
CREATE TABLE capital_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    strategy text NOT NULL,
    amount numeric NOT NULL CHECK (amount <> 0), -- in the quote asset; below 0 what was taken out
    at timestamptz NOT NULL                      -- the exchange's clock
);
CREATE INDEX ON capital_changes (account, strategy);

CREATE TRIGGER capital_changes_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON capital_changes
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What of the equity was put in: the rest is profit. Cycles of before are given what is noted first.
ALTER TABLE cycles ADD COLUMN capital numeric NOT NULL DEFAULT 0;
