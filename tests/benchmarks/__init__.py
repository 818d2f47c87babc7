"""Benchmarks: `make bench`. Each prints figures and ratios measured in one run; none is a test."""
