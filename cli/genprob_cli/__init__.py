"""The command line of genprob: parse, call the public Python API, render."""
