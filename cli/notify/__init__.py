"""`eightbells notify`: send problems to the addresses of the settings."""
