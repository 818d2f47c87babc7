"""The gateway to Binance: its clock, its budgets, its errors and its rules."""
