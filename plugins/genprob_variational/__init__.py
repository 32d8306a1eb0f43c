"""Variational autoencoders: latent codes with amortised guides."""
