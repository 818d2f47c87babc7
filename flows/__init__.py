"""What the Prefect UI lists: one file a deployment."""
