-- A strategy that a person paused buys nothing, of one symbol or of any. Its positions stay protected and may be sold.
CREATE TABLE pauses (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    strategy text NOT NULL,
    symbol text,                         -- NULL: all symbols
    begun_by bigint NOT NULL REFERENCES commands,
    ended_by bigint REFERENCES commands
);
CREATE UNIQUE INDEX pauses_open ON pauses (account, strategy, symbol) NULLS NOT DISTINCT WHERE ended_by IS NULL;

CREATE VIEW open_pauses AS
SELECT p.id, p.account, p.strategy, p.symbol, c.why, c.by_whom, c.at
FROM pauses AS p INNER JOIN commands AS c ON p.begun_by = c.id
WHERE p.ended_by IS NULL;
