"""What happens beside the optimization: averaging, history, progress, the state of a run."""
