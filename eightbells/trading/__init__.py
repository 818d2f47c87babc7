"""From decisions to fills: sizing, the order outbox, execution and the ledger."""
