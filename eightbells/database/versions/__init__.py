"""Alembic revisions; each applies one file of sql/."""
