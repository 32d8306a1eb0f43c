"""Asking a joint: evidence, query batches, strategies, the planner, diagnostics."""
