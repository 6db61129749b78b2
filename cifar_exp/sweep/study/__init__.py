"""The study: its storage, signs of life and recovery."""
