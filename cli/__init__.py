"""What a person types: `eightbells ...`."""
