"""How well short trainings rank networks: each candidate trained at several fidelities and in full.

python -m benchmarks.search.ranks OUTPUT.json '{"candidates": [{…}], "fidelities": {"full": […overrides…]}, …}'
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

import cifar_exp as ce
from benchmarks.search.graph_training import Data, GraphTraining, finished
from benchmarks.search.methods import SearchSpace
from cifar_exp.inference.device import chosen_device


def measure(task: dict[str, Any], output: Path) -> None:
    """Write each candidate's best validation accuracy at each fidelity."""
    space = SearchSpace(task["widths"], task["fixed"], task["fill"])
    rows: list[dict[str, Any]] = [{"params": one, "cost": space.plan(one).params} for one in task["candidates"]]
    for name, overrides in task["fidelities"].items():
        config = ce.compose([*task["fixed"], *overrides])
        device = chosen_device(config.trainer.accelerator)
        data = Data.of(config, device)
        pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        for row in rows:
            training = GraphTraining(space.plan(row["params"]), config, data, task["seed"], pool=pool)
            curve = [finished(training.epoch(epoch)) for epoch in range(config.trainer.max_epochs)]
            row[name] = max(figures["val/acc"] for figures in curve)
            row[f"{name} curve"] = [round(figures["val/acc"], 4) for figures in curve]
            row[f"{name} train"] = curve[-1]["train/acc"]
            output.write_text(json.dumps({"seed": task["seed"], "rows": rows}), encoding="utf-8")


if __name__ == "__main__":
    measure(json.loads(sys.argv[2]), Path(sys.argv[1]))
