"""Makes the configs importable, as Hydra's `pkg://cifar_exp.conf` demands."""
