-- Counters of processes that have ended: a flow run adds what it counted, the exporter reads the sums.
CREATE TABLE metric_totals (
    name text NOT NULL,
    labels jsonb NOT NULL,
    total double precision NOT NULL,
    PRIMARY KEY (name, labels)
);
