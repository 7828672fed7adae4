"""Comparisons of many runs: planning and running them, the statistics of their curves, and the report."""
