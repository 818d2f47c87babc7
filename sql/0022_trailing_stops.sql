-- A stop may follow the price: the exchange moves it up, so many hundredths of a percent below the highest price since it was
-- placed. `stop_price` is then the level at which it began.
ALTER TABLE orders
ADD COLUMN trailing_delta integer CHECK (trailing_delta BETWEEN 1 AND 9999),
ADD CONSTRAINT orders_trailing CHECK (trailing_delta IS NULL OR type = 'STOP_LOSS');

CREATE OR REPLACE VIEW live_orders AS
SELECT * FROM orders WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED');
