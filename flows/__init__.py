"""The flows that the Prefect UI lists: one file per deployment."""
