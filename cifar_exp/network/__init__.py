"""Networks from plain descriptions: spec → plan (shapes and cost, no torch) → modules."""

from cifar_exp.network.build import build_network
from cifar_exp.network.cost import Budget, check_budget
from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import HeadSpec, LayerSpec, ModelSpec

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
