"""Autoregressive models: a joint as a product of one-dimensional conditionals, in any order."""
