"""Tests: against a real Postgres, a real Prefect server and the simulator in processes of their own."""
