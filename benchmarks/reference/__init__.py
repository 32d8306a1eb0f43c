"""Plain numpy versions of what is measured: short enough to be checked by eye."""
