"""Generators taught by critics: GAN, WGAN, ALI."""
