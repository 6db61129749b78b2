"""Trained networks for other runtimes, and proof that they answer as PyTorch does."""
