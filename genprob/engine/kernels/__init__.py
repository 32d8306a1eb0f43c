"""Kernels: each module holds one Markov transition, pure and batched over chains."""
