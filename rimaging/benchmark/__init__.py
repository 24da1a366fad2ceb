"""The tables of docs/results.md: every method at its best, on data that can be had."""
