"""Trained networks for other runtimes, checked against PyTorch."""
