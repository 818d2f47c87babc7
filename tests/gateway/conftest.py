"""A Prefect server that keeps every state of a task run."""
