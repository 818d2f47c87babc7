-- A strategy that decides for all its symbols at once: which of them it was shown. With the window's length and the newest
-- batch they name all candles that the decision rests on.
ALTER TABLE evaluations
ADD COLUMN universe text [],
ADD CONSTRAINT evaluations_universe CHECK (symbol = ANY(universe));

COMMENT ON COLUMN evaluations.universe IS
'Symbols that the strategy was shown, where it decides for all at once; inputs_hash is of the windows of all of them';
