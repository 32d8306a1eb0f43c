"""Normalising flows: invertible networks over reals, positives, intervals and rounded reals."""
