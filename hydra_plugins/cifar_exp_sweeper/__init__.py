"""Hydra's sweeper `budgeted`: the face of `cifar_exp.sweep` that Hydra looks for."""
