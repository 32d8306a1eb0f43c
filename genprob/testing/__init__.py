"""For authors of plugins: joints whose every answer is known, to test a model and its queries against."""
