"""Figures of sweeps: workers, proposals, studies of thousands of trials, and sudden death."""
