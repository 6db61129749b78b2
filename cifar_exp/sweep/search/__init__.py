"""The search space and the proposal of candidates within the budget."""
