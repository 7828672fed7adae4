"""Benchmarks, each run as `python -m benchmarks.NAME`; docs/speed.md lists them."""
