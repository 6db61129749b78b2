"""Hydra's sweeper `budgeted`: which Hydra finds in this namespace package."""
