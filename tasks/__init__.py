"""The steps that flows are made of, thin over `eightbells`, each with its name and its retries in the UI."""
