"""Everything that knows how Prefect works: retries, time limits, schedules, runs, deployments."""
