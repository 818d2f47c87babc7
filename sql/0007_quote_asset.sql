-- The asset in which the books are counted: capital, limits and equity are amounts of it.
CREATE TABLE quote (
    only_one boolean PRIMARY KEY DEFAULT TRUE CHECK (only_one),
    asset text NOT NULL CHECK (btrim(asset) <> '')
);

CREATE TRIGGER quote_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON quote
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A database that has traded in one asset keeps it.
INSERT INTO quote (asset)
SELECT min(s.quote_asset) FROM orders AS o INNER JOIN symbols AS s ON o.symbol = s.symbol
HAVING count(DISTINCT s.quote_asset) = 1;

-- What is quoted in another asset would be sized, limited and valued in the wrong currency.
CREATE FUNCTION refuse_other_quote() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    IF TG_TABLE_NAME = 'signals' THEN
        SELECT s.symbol, s.quote_asset, q.asset INTO wrong
        FROM inserted AS i
        INNER JOIN evaluations AS e ON i.evaluation_id = e.id
        INNER JOIN symbols AS s ON e.symbol = s.symbol
        INNER JOIN quote AS q ON s.quote_asset <> q.asset
        LIMIT 1;
    ELSE
        -- a sale passes: it ends what was bought before
        SELECT s.symbol, s.quote_asset, q.asset INTO wrong
        FROM inserted AS i
        INNER JOIN symbols AS s ON i.symbol = s.symbol
        INNER JOIN quote AS q ON s.quote_asset <> q.asset
        WHERE i.side = 'BUY'
        LIMIT 1;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION '% is quoted in %, the books are in %', wrong.symbol, wrong.quote_asset, wrong.asset
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER signals_in_the_books_quote AFTER INSERT ON signals
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_quote();
CREATE TRIGGER orders_in_the_books_quote AFTER INSERT ON orders
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_quote();
