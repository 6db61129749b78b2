"""Trains one trial of a sweep on wandb's server, such as `wandb_width50k.yaml`:

    python scripts/wandb_trial.py [overrides]

It is `cifar-exp train [overrides]`, but a candidate over the budget is reported at once with an accuracy of 0, so that
wandb's search avoids such candidates.
"""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from cifar_exp.checks import composer
from cifar_exp.cli import run
from cifar_exp.config.compose import hydra_session
from cifar_exp.config.overrides import parse_overrides
from cifar_exp.errors import UserError
from cifar_exp.sweep.search.pricing import PlanPricer
from cifar_exp.sweep.search.space import build_space

METRIC = "best/val/acc"  # what a run logs after each epoch


def priced(overrides: Sequence[str]) -> tuple[PlanPricer, DictConfig] | None:
    """Return the pricer of `overrides` and the run's config; None for a user error, which `train` reports."""
    with hydra_session("train"):
        try:
            given = parse_overrides(overrides)
            cfg = composer("train").compose(given)
            pricer = PlanPricer(build_space(given), lambda _: cfg, ())
            pricer.model({})
            return pricer, cfg
        except UserError:
            return None


def reject(pricer: PlanPricer, cfg: DictConfig) -> None:
    """Report to wandb's server that this candidate is rejected."""
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    with wandb.init(
        project=cfg.logger.project, entity=cfg.logger.entity, mode=cfg.logger.mode, settings=settings
    ) as trial:
        trial.log({METRIC: 0.0})
        trial.summary.update({**pricer.costs({}), "rejected": pricer.price({}).reason})


def main() -> int:
    """Run the trial of the command line and return its exit status."""
    overrides = sys.argv[1:]
    found = priced(overrides)
    if found is None or found[0].price({}).fits or found[1].logger.mode == "disabled":
        return run(["train", *overrides])
    reject(*found)
    print(f"rejected: {found[0].price({}).reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
