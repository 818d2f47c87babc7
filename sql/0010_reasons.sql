-- Why a row failed validation is a code; words are rendered from it.
CREATE FUNCTION pg_temp.as_code(words text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE words
        WHEN 'not on the four-hour grid' THEN 'off_grid'
        WHEN 'not what was asked for' THEN 'not_requested'
        WHEN 'two versions in one answer' THEN 'duplicate'
        WHEN 'closed before it opened' THEN 'closed_before_open'
        ELSE replace(replace(words, 'missing or not exact', 'missing or inexact'), ' ', '_')
    END
$$;

UPDATE quarantined_candles SET
    reasons = (SELECT array_agg(pg_temp.as_code(r.words) ORDER BY r.place)
        FROM unnest(reasons) WITH ORDINALITY AS r (words, place));

UPDATE validations SET
    statistics = (SELECT jsonb_object_agg(pg_temp.as_code(s.key), s.value) FROM jsonb_each(statistics) AS s)
WHERE statistics <> '{}';

UPDATE metric_totals SET labels = jsonb_set(labels, '{reason}', to_jsonb(pg_temp.as_code(labels ->> 'reason')))
WHERE name LIKE 'eightbells_validation_failures%' AND labels ? 'reason';
