"""The gateway to the exchange: each of its errors, its budgets, rules, keys, secrets and clock."""
