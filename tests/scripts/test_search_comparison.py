"""The comparison of search methods trains real networks, and spends no more images than its budget."""

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import yaml

from cifar_exp.config.location import conf_dir

SCRIPTS = Path(__file__).parents[2] / "scripts"
WIDTH = "model.layers.conv7.channels"
WIDTHS = {"model.layers.conv6.channels": "choice(64, 128)", WIDTH: "range(16, 140)"}
EPOCH = ["trainer.max_epochs=1"]
TINY = [
    "experiment=model50k",
    "budget.params=50000",
    "data=synthetic",
    "data.train_size=80",
    "data.test_size=20",
    "data.batch_size=32",
    "trainer.accelerator=cpu",
    "logger.mode=disabled",
]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from benchmarks.search import graph_optimizer, lane, methods, report

    modules: dict[str, ModuleType] = {
        "graph_optimizer": graph_optimizer,
        "lane": lane,
        "methods": methods,
        "report": report,
    }
    return SimpleNamespace(**modules)


@pytest.mark.parametrize("steps", [4, 10, 97])
def test_the_schedule_is_that_of_torch(search: SimpleNamespace, steps: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=steps, pct_start=0.3)
    expected = []
    for _ in range(steps):
        expected.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step() if len(expected) < steps else None
    assert search.graph_optimizer.one_cycle(steps, 0.3, 25.0, 1e4) == pytest.approx(expected)


@pytest.mark.parametrize("method", ["ours", "optuna"])
def test_a_search_stays_within_both_budgets(search: SimpleNamespace, tmp_path: Path, method: str) -> None:
    task = search.lane.Task(method, 0, WIDTHS, WIDTH, 2, EPOCH, EPOCH, TINY)

    record = search.lane.search(task, tmp_path / "lane-0.json")

    assert json.loads((tmp_path / "lane-0.json").read_text()) == record
    assert len(record["trials"]) == 2
    assert record["images"] == 2 * 64  # of 72 training images, whole batches alone
    assert all(trial["cost"] <= 50_000 for trial in record["trials"])
    assert f"| {method} | 1 | 2.0 |" in search.report.page([record])
    assert f"{record['final']['test']:.2%}" in search.report.page([record])


def test_a_training_that_another_search_has_made_counts_but_is_not_repeated(
    search: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search.lane.Task("random", 0, WIDTHS, WIDTH, 1, EPOCH, EPOCH, TINY)
    trained = search.lane.search(first, tmp_path / "random-0.json")
    monkeypatch.delattr(search.lane, "GraphTraining")

    same = search.lane.search(first, tmp_path / "again-0.json")

    assert same == trained


def test_methods_are_compared_seed_by_seed(search: SimpleNamespace) -> None:
    def lane(method: str, seed: int, test: float) -> dict[str, object]:
        trial = {"params": {}, "cost": 9, "macs": 9, "curve": [0.1], "pruned": False, "images": 64}
        final = {"cost": 9, "val": 0.4, "test": test}
        task = {"method": method, "seed": seed, "trials": 1, "trial": [], "final": [], "fixed": [], "widths": {}}
        return {"task": task, "trials": [trial], "images": 64, "epochs": 1, "rejected": 0, "final": final}

    lanes = [lane("ours", seed, 0.40 + 0.1 * seed) for seed in range(3)]
    lanes += [lane("random", seed, test) for seed, test in enumerate((0.39, 0.47, 0.58))]

    assert "| random | +2.00 ± 1.00 | 0.07 |" in search.report.page(lanes)


def test_ours_prunes_from_the_epoch_of_the_shipped_sweep_on(search: SimpleNamespace) -> None:
    shipped = yaml.safe_load((conf_dir() / "hydra" / "sweeper" / "pruner" / "successive_halving.yaml").read_text())
    method = search.methods.Method("ours", search.methods.SearchSpace(WIDTHS, TINY), 0)
    for number in range(2):
        trial = method.propose()
        decisions = [method.is_over(trial, epoch, 0.5 - 0.01 * number) for epoch in range(6)]
        method.finish(trial, 0.5 - 0.01 * number, False)
    assert 1 + decisions.index(True) == shipped["min_resource"]


def test_whether_a_trial_is_over_can_be_written_as_json(search: SimpleNamespace) -> None:
    method = search.methods.Method("optuna", search.methods.SearchSpace(WIDTHS, TINY, WIDTH), 0)
    decisions = []
    for number in range(7):
        trial = method.propose()
        decisions += [method.is_over(trial, epoch, 0.5 - 0.01 * number) for epoch in range(2)]
        method.finish(trial, 0.5 - 0.01 * number, decisions[-1])

    assert json.loads(json.dumps(decisions)) == 10 * [False] + 4 * [True]
