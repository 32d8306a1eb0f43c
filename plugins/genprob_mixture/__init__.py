"""Mixtures: a latent cause, given which columns are jointly Gaussian, categorical or counts; in closed form."""
