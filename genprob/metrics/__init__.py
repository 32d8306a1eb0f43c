"""Figures of merit: scores of draws, hidden cells, two-sample tests, intervals; and what every metric returns."""
