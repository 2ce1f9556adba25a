"""Benchmarks that any user can repeat: `make bench`. Figures are ratios in one run, since machines differ."""
