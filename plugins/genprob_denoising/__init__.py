"""Models that learn by removing noise: denoising autoencoders, walkback chains, diffusions."""
