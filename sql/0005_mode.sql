-- The mode that this database belongs to: one exchange's candles prove nothing to another.
CREATE TABLE mode (
    only_one boolean PRIMARY KEY DEFAULT TRUE CHECK (only_one),
    mode text NOT NULL CHECK (mode IN ('paper', 'testnet', 'live'))
);

CREATE TRIGGER mode_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON mode
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
