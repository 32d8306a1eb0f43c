"""Shared blocks of networks: what a plugin builds its model from."""
