-- What each table, view and column holds, for whoever queries them: \d+ TABLE in psql shows it. A column whose name
-- means the same everywhere is described once, under *; a table's own words for it come before those.
CREATE TEMP TABLE words (relation text NOT NULL, name text, said text NOT NULL) ON COMMIT DROP;

INSERT INTO words VALUES
('*', 'id', 'Number of the row, in the order of insertion'),
('*', 'account', 'The mode whose books these are: paper, testnet or live'),
('*', 'strategy', 'Name of the strategy in the settings'),
('*', 'symbol', 'Name of the symbol at the exchange, such as BTCUSDT'),
('*', 'asset', 'Name of the asset at the exchange, such as BTC'),
('*', 'interval', 'Length of the candle: 4h'),
('*', 'open_time', 'Open time of the candle, UTC'),
('*', 'close_time', 'Last millisecond of the candle, UTC, as the exchange gave it'),
('*', 'open', 'First price, in the quote asset'),
('*', 'high', 'Highest price, in the quote asset'),
('*', 'low', 'Lowest price, in the quote asset'),
('*', 'close', 'Last price, in the quote asset'),
('*', 'volume', 'What was traded, in the base asset'),
('*', 'quote_volume', 'What was traded, in the quote asset'),
('*', 'trades', 'Number of trades'),
('*', 'taker_buy_base', 'What takers bought, in the base asset'),
('*', 'taker_buy_quote', 'What takers bought, in the quote asset'),
('*', 'flow_run', 'Id of the Prefect run that wrote the row'),
('*', 'quantity', 'Amount of the base asset'),
('*', 'side', 'BUY or SELL'),
('*', 'exchange_order_id', 'Number of the order at the exchange'),
('*', 'client_order_id', 'Name of the order at the exchange, derived from the decision'),
('*', 'found_at', 'When it was found, by the exchange''s clock'),
('*', 'cleared_at', 'When it was over, by the exchange''s clock; NULL while it is open'),
('*', 'looked_at', 'When the exchange was asked, by its clock'),
('*', 'seen_at', 'When the exchange last said so'),
('*', 'reason', 'Why, in words'),
('*', 'facts', 'The values that differ or that led to it'),
('*', 'at', 'When, by the exchange''s clock'),
('*', 'batch_id', 'The batch that stored it, a row of batches'),
('*', 'fills', 'Number of fills'),
('*', 'quote_flow', 'What was taken in less what was paid, in the quote asset, fees in it included'),
('*', 'last_traded_at', 'When the newest fill was traded'),
('*', 'fees', 'Fees in a third asset, such as BNB, valued in the quote asset, less what was credited for fees of others'),
('*', 'only_one', 'Always true: the table has one row at most'),
('*', 'name', 'Name of it'),

('alembic_version', NULL, 'The migration that the database has reached'),
('alembic_version', 'version_num', 'Number of the migration, as in sql/'),

('symbols', NULL, 'Symbols of the exchange that were ever asked for, with their trading rules'),
('symbols', 'status', 'As the exchange calls it: TRADING, BREAK, HALT'),
('symbols', 'base_asset', 'What is bought and sold'),
('symbols', 'quote_asset', 'What it is paid with'),
('symbols', 'rules', 'The symbol''s entry in exchangeInfo, as last seen'),
('symbols', 'first_open_time', 'Open time of its first four-hour candle; NULL until it was asked for'),

('batches', NULL, 'One row per transaction that stored candles. Batches commit in the order of their ids'),
('batches', 'source', 'Where the rows came from: rest, ws or archive'),
('batches', 'known_at', 'The exchange''s clock when the rows were judged'),
('batches', 'recorded_at', 'The database''s clock when the batch was numbered'),
('batches', 'checked', 'Rows that were judged'),
('batches', 'inserted', 'Candles that were new'),
('batches', 'revised', 'Candles that replaced another version'),
('batches', 'quarantined', 'Rows that were refused for the first time'),

('validations', NULL, 'What the suite said of one symbol''s rows in one batch. A decision needs one that passed'),
('validations', 'suite', 'Name and version of the suite'),
('validations', 'last_open_time', 'Open time of the newest candle that was judged'),
('validations', 'success', 'True where no row failed'),
('validations', 'checked', 'Rows that were judged'),
('validations', 'failed', 'Rows that failed'),
('validations', 'statistics', 'Number of failures by reason'),

('candles', NULL, 'Closed, validated candles in their newest version. Exact decimals as the exchange sent them'),
('candles', 'source', 'Where the row came from: rest, ws or archive'),
('candle_revisions', NULL, 'Versions of candles that the exchange has since restated'),
('candle_revisions', 'source', 'Where the version came from: rest, ws or archive'),
('candle_revisions', 'batch_id', 'The batch from which on this version was known'),
('candle_revisions', 'replaced_by', 'The batch that replaced it'),

('candle_gaps', NULL, 'Slots that had no sound candle when the exchange was asked'),
('candle_gaps', 'state', 'open, repaired (a candle came) or absent (asked twice, the exchange has none)'),
('candle_gaps', 'asked', 'How often the exchange was asked'),
('candle_gaps', 'settled_at', 'When it became repaired or absent; NULL while it is open'),

('quarantined_candles', NULL, 'Rows that the suite refused, as they came. The same bad row is kept once'),
('quarantined_candles', 'batch_id', 'The batch in which it came first'),
('quarantined_candles', 'open_time', 'Open time of the row; NULL where it cannot be read'),
('quarantined_candles', 'reasons', 'Code of every rule that the row breaks'),
('quarantined_candles', 'raw', 'The row as the exchange sent it'),

('evaluations', NULL, 'Each call of a strategy on a proven window, with what is needed to repeat it'),
('evaluations', 'strategy_version', 'Version of the strategy''s rules'),
('evaluations', 'parameters', 'The strategy''s parameters'),
('evaluations', 'parameters_hash', 'Hash of the parameters'),
('evaluations', 'code_version', 'Version of the code that ran'),
('evaluations', 'open_time', 'Open time of the candle decided on, UTC'),
('evaluations', 'window_start', 'Open time of the window''s first candle'),
('evaluations', 'window_candles', 'Number of candles in the window'),
('evaluations', 'as_of_batch', 'The newest batch that the window knew'),
('evaluations', 'inputs_hash', 'Hash of the window''s values'),
('evaluations', 'validation_id', 'The validation that the decision rests on'),
('evaluations', 'proven', 'Always true: with validation_id it refers to a validation that passed'),
('evaluations', 'evaluated_at', 'When the strategy was asked, by the exchange''s clock'),

('signals', NULL, 'What an evaluation wants to hold'),
('signals', 'evaluation_id', 'The evaluation that it is the answer of'),
('signals', 'target', 'long or flat'),
('signals', 'price', 'Close of the candle decided on'),
('signals', 'reason', 'Why, in the strategy''s words'),
('signals', 'stop', 'Price at which the position is sold; NULL: that of the settings'),
('signals', 'take_profit', 'Price at which the profit is taken; NULL: none'),
('signals', 'weight', 'Share of the strategy''s capital, above 0 up to 1; NULL: by the settings'),

('order_transitions', NULL, 'The changes of state that an order may make'),
('order_transitions', 'from_state', 'State before'),
('order_transitions', 'to_state', 'State after'),

('orders', NULL, 'Every order, committed before it is sent. Its state moves by order_events only'),
('orders', 'signal_id', 'The signal that it follows'),
('orders', 'leg', 'Its part: entry, exit, stop, trim, manual (by hand) or sellout (of a halt)'),
('orders', 'attempt', 'Which try of the decision it is, from 1'),
('orders', 'open_time', 'Open time of the candle decided on, UTC'),
('orders', 'type', 'LIMIT, MARKET, STOP_LOSS or STOP_LOSS_LIMIT'),
('orders', 'time_in_force', 'GTC, IOC or FOK; NULL where the type has none'),
('orders', 'quantity', 'What is bought or sold, in the base asset'),
('orders', 'price', 'Limit price in the quote asset; NULL where the type has none'),
('orders', 'stop_price', 'Price that triggers a stop; NULL for other orders'),
('orders', 'sizing', 'What the quantity was made of, in words'),
('orders', 'state', 'PLANNED, SENDING, UNKNOWN, OPEN, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED, DENIED, REJECTED, ABSENT'),
('orders', 'request_time', 'The timestamp inside the signed request; NULL before it is sent'),
('orders', 'recv_window_ms', 'How long the exchange accepts the request, in milliseconds'),
('orders', 'executed_quantity', 'What is executed, as the exchange says'),
('orders', 'planned_at', 'When it was planned, by the exchange''s clock'),
('orders', 'booked_quantity', 'Sum of its fills in the books'),
('orders', 'changed_at', 'When its newest event was, by the exchange''s clock'),
('orders', 'replaces', 'The order that the request for this one cancels'),
('orders', 'yields', 'True while a live order replaces it'),
('orders', 'command', 'The command of a sale by hand; NULL for other orders'),
('live_orders', NULL, 'Orders that can still be executed, or have yet to be sent'),

('order_events', NULL, 'Each change of an order''s state, in order'),
('order_events', 'order_id', 'The order'),
('order_events', 'from_state', 'State before; NULL for the first'),
('order_events', 'to_state', 'State after'),
('order_events', 'recorded_at', 'The database''s clock'),
('order_events', 'detail', 'What the exchange answered, or why'),

('fills', NULL, 'Trades of our orders, as the exchange reports them'),
('fills', 'trade_id', 'Number of the trade at the exchange, unique per symbol'),
('fills', 'order_id', 'The order that was filled'),
('fills', 'price', 'Price in the quote asset'),
('fills', 'quote_quantity', 'Price times quantity, in the quote asset'),
('fills', 'commission', 'The fee, in commission_asset'),
('fills', 'commission_asset', 'The asset of the fee'),
('fills', 'traded_at', 'When it was traded, by the exchange''s clock'),
('fills', 'commission_quote', 'What the fee was worth in the quote asset; NULL: it could not be valued'),

('fee_charges', NULL, 'What fees of other trades took out of a position'),
('fee_charges', 'charged_at', 'When it was found, by the exchange''s clock'),
('fee_charges', 'quote_value', 'What it was worth, credited to the strategy'),

('position_totals', NULL, 'Running totals from which the view positions reads'),
('position_totals', 'quantity', 'What is held, net of fees in the asset itself'),
('positions', NULL, 'What each strategy holds of each symbol, and what it paid'),
('positions', 'quantity', 'What is held, net of fees in the asset itself'),

('refusals', NULL, 'What was not traded, and why'),
('refusals', 'strategy', 'Name of the strategy; empty: the symbol is refused to every strategy'),
('refusals', 'stage', 'What refused it: universe, quality, evaluation, age, switch, sizing, risk, drift, protection, hold, trim'),

('balances', NULL, 'What the account holds, as the exchange last said'),
('balances', 'free', 'What may be traded'),
('balances', 'locked', 'What open orders hold'),
('balance_looks', NULL, 'What the account held of an asset, and what positions said, when they were last compared'),
('balance_looks', 'total', 'What the exchange said'),
('balance_looks', 'owned', 'What positions said'),

('leases', NULL, 'Which process may trade an account'),
('leases', 'fence', 'Number that grows each time the lease is taken'),
('leases', 'holder', 'The process that holds it'),
('leases', 'expires_at', 'When it runs out'),

('drifts', NULL, 'Where the exchange and the books disagree. Its symbol is not traded while one is open'),
('drifts', 'reason', 'duplicate_order, unknown_order, unknown_status, order_state, executed_quantity, balance or other'),
('open_drifts', NULL, 'Drifts that keep their symbol from being traded'),
('open_drifts', 'reason', 'duplicate_order, unknown_order, unknown_status, order_state, executed_quantity, balance or other'),
('drift_acceptances', NULL, 'Drifts that a person looked into and let stand'),
('drift_acceptances', 'drift_id', 'The drift'),
('drift_acceptances', 'accepted_by', 'Who accepted it'),
('drift_acceptances', 'accepted_at', 'When, by the exchange''s clock'),
('order_looks', NULL, 'When the exchange''s orders of a symbol were last compared with the books'),
('foreign_orders', NULL, 'Orders at the exchange that are not ours: listed, never touched'),
('foreign_orders', 'type', 'As the exchange calls it'),
('foreign_orders', 'status', 'As the exchange calls it'),
('write_offs', NULL, 'Coins that a person removed from the books because they are gone'),
('write_offs', 'drift_id', 'The drift that it settles'),
('write_offs', 'proceeds', 'What they were sold for by hand, in the quote asset'),
('write_offs', 'written_off_by', 'Who did it'),
('write_offs', 'written_off_at', 'When, by the exchange''s clock'),

('holds', NULL, 'Symbols whose price or balance jumped. Nothing is sent, or nothing bought, until a person explained it'),
('holds', 'reason', 'What jumped: jump (the price) or balance'),
('holds', 'scope', 'What is held back: all (orders) or entries'),
('holds', 'candle', 'Open time of the first candle after the jump; NULL for a balance'),
('holds', 'released_at', 'When it was released; NULL while it is open'),
('holds', 'released_by', 'Who or what released it'),
('holds', 'why', 'Why it was released'),
('splits', NULL, 'Coins exchanged for another number of coins under the same symbol, booked by a person'),
('splits', 'ratio', 'New coins for an old one'),
('splits', 'candle', 'The first candle in new coins'),
('splits', 'booked_by', 'Who booked it'),
('splits', 'booked_at', 'When, by the exchange''s clock'),

('cycles', NULL, 'One row per candle that a cycle served, with its report'),
('cycles', 'open_time', 'Open time of the candle whose close it served'),
('cycles', 'finished_at', 'When it ended'),
('cycles', 'equity', 'In the quote asset, at the candle''s closes; NULL where a held symbol had no price'),
('cycles', 'summary', 'What the report says'),
('cycles', 'positions', 'What was held, with cost and profit'),
('cycles', 'capital', 'What of the equity was put in; the rest is profit'),
('capital_changes', NULL, 'What was put into and taken out of each strategy'),
('capital_changes', 'amount', 'In the quote asset; below 0 what was taken out'),

('commands', NULL, 'What a person did by hand'),
('commands', 'command', 'What was done'),
('commands', 'arguments', 'With which values'),
('commands', 'why', 'The reason that was given'),
('commands', 'by_whom', 'Who did it'),
('commands', 'at', 'When, by the database''s clock'),
('pauses', NULL, 'Strategies that a person paused, of one symbol or of any'),
('pauses', 'symbol', 'The symbol; NULL: all'),
('pauses', 'begun_by', 'The command that began it'),
('pauses', 'ended_by', 'The command that ended it; NULL while it is open'),
('open_pauses', NULL, 'Pauses that have not ended, with who and why'),
('open_pauses', 'symbol', 'The symbol; NULL: all'),
('open_pauses', 'why', 'The reason that was given'),
('open_pauses', 'by_whom', 'Who did it'),
('open_pauses', 'at', 'When, by the database''s clock'),
('sold_by_hand', NULL, 'What was sold by hand and is not bought again until the strategy was flat or resumed'),
('sold_by_hand', 'sold_at', 'When the newest such sale changed, by the exchange''s clock'),
('unprotected', NULL, 'Holdings that should have a stop or a sale under way, and have neither'),
('unprotected', 'since', 'Since when, by the exchange''s clock'),
('unvalued_fees', NULL, 'Fees that are in no profit, since nothing says what they were worth'),
('unvalued_fees', 'asset', 'The asset of the fee'),
('unvalued_fees', 'amount', 'How much of it'),

('switches', NULL, 'Trading on or off for the whole account'),
('switches', 'name', 'trading'),
('switches', 'is_on', 'False: nothing is sent'),
('switches', 'changed_at', 'When, by the database''s clock'),
('budgets', NULL, 'Limits that all processes on this address share'),
('budgets', 'closed_until', 'Nothing is granted before: a ban, or Retry-After'),
('budgets', 'reason', 'Why it is closed'),
('budget_grants', NULL, 'Permits that were granted, by tenth of a second'),
('budget_grants', 'slot', 'Tenths of a second since 1970'),
('budget_grants', 'cost', 'Weight or number that was granted'),
('metric_totals', NULL, 'Counters of processes that have ended'),
('metric_totals', 'labels', 'Labels of the metric'),
('metric_totals', 'total', 'Sum of what was counted'),
('mode', NULL, 'The mode that this database belongs to'),
('mode', 'mode', 'paper, testnet or live'),
('quote', NULL, 'The asset in which the books are counted');

DO $$
DECLARE
    it record;
BEGIN
    FOR it IN
        SELECT r.relname, CASE r.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind, w.said
        FROM pg_class AS r INNER JOIN words AS w ON w.relation = r.relname AND w.name IS NULL
        WHERE r.relnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('COMMENT ON %s %I IS %L', it.kind, it.relname, it.said);
    END LOOP;
    FOR it IN
        SELECT DISTINCT ON (r.relname, a.attname) r.relname, a.attname, w.said
        FROM pg_class AS r
        INNER JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
        INNER JOIN words AS w
            ON w.name = a.attname
            AND w.relation IN (r.relname, CASE r.relname WHEN 'live_orders' THEN 'orders' END, '*')
        WHERE r.relnamespace = current_schema()::regnamespace AND r.relkind IN ('r', 'p', 'v')
        ORDER BY r.relname, a.attname, w.relation = '*', w.relation <> r.relname
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', it.relname, it.attname, it.said);
    END LOOP;
END $$;

COMMENT ON FUNCTION candles_as_of(timestamptz) IS 'The candles as they were known at a time of the exchange''s clock';
COMMENT ON FUNCTION candles_as_of_batch(bigint)
IS 'The candles as they were known when a batch had just been committed';
