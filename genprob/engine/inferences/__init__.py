"""Inferences: each module holds one factory `(model, *, steps, ...) -> Program`."""
