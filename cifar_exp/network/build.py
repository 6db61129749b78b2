"""From a plan to modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_exp.network.plan import Plan

if TYPE_CHECKING:
    from cifar_exp.network.assembled import Network


def build_network(plan: Plan) -> Network:
    """Return the network of `plan`, freshly initialised: normalised images (B, C, H, W) to logits (B, num_classes)."""
    from cifar_exp.network.assembled import Network

    return Network(plan)
