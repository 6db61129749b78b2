"""Networks from plain descriptions: spec → plan (shapes and cost, no torch) → modules."""

from typing import TYPE_CHECKING

from cifar_exp.network.cost import Budget, check_budget
from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import HeadSpec, LayerSpec, ModelSpec

if TYPE_CHECKING:
    from cifar_exp.network.assembled import Network

__all__ = [
    "Budget",
    "HeadSpec",
    "LayerSpec",
    "ModelSpec",
    "Plan",
    "build_network",
    "check_budget",
    "plan_network",
]


def build_network(plan: Plan) -> "Network":
    """Return the network of `plan`, freshly initialised: normalised images (B, C, H, W) to logits (B, num_classes)."""
    from cifar_exp.network.assembled import Network

    return Network(plan)
