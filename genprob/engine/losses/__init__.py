"""Losses: what `Descend` lowers."""
