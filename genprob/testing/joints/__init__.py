"""Reference joints, one a file; `genprob.testing.references()` holds a small instance of each."""
