-- Coins of the account that no strategy has bought become a strategy's, booked as a purchase at a price: a person says so.
ALTER TABLE commands
DROP CONSTRAINT commands_command_check,
ADD CONSTRAINT commands_command CHECK (command IN ('sell', 'pause', 'resume', 'adopt'));

CREATE TABLE adoptions (
    command bigint PRIMARY KEY REFERENCES commands,      -- who, and why
    account text NOT NULL,
    strategy text NOT NULL,
    symbol text NOT NULL REFERENCES symbols,
    signal_id bigint NOT NULL REFERENCES signals,        -- the strategy's newest one: what protects and sells refers to it
    quantity numeric NOT NULL CHECK (quantity > 0),
    quote_quantity numeric NOT NULL CHECK (quote_quantity > 0 AND quote_quantity < 'Infinity'), -- what they count as
    exchange_order_id bigint,                            -- the foreign order that bought them, where there is one
    adopted_at timestamptz NOT NULL,                     -- the exchange's clock
    UNIQUE (account, symbol, exchange_order_id)
);
CREATE INDEX ON adoptions (account, strategy, symbol);

CREATE TRIGGER adoptions_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON adoptions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION add_adoption_to_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_position(
        NEW.account, NEW.strategy, NEW.symbol, NEW.quantity, -NEW.quote_quantity, 0, NULL, 0
    );
    RETURN NULL;
END $$;

CREATE TRIGGER adoptions_add_to_totals AFTER INSERT ON adoptions
FOR EACH ROW EXECUTE FUNCTION add_adoption_to_totals();
