"""Comparisons of runs, and pictures of what networks answer."""
