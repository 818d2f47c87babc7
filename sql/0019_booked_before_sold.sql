-- What was executed and is not booked yet is not in the position either: a sale that is sized by it could sell twice.
CREATE FUNCTION refuse_sale_of_what_may_be_sold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM orders AS o
        WHERE o.account = NEW.account AND o.strategy = NEW.strategy AND o.symbol = NEW.symbol
        AND o.executed_quantity > o.booked_quantity
    ) THEN
        RAISE EXCEPTION 'fills of % of % are not booked yet', NEW.symbol, NEW.strategy
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER orders_booked_before_sold BEFORE INSERT ON orders
FOR EACH ROW WHEN (NEW.side = 'SELL') EXECUTE FUNCTION refuse_sale_of_what_may_be_sold();
