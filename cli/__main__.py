"""`python -m cli` is `eightbells`, for children that must run under this very Python."""

from cli.main import run

run()
