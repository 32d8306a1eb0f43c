"""Strategies: each module is one way to answer queries."""
