"""The project's saved view in wandb, built without asking a server."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb_workspaces", "ignore::UserWarning")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "wandb_workspace.py"
    spec = importlib.util.spec_from_file_location("wandb_workspace", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def panels(script: ModuleType) -> list[dict[str, Any]]:
    """All panels, as they would be sent."""
    model = script.layout("someone", "cifar-exp", script.layer_names("model50k"))._to_model()
    sections = model.model_dump(by_alias=True)["spec"]["section"]["panelBankConfig"]["sections"]
    return [panel for section in sections for panel in section["panels"]]


def of_kind(panels: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [panel["config"] for panel in panels if panel["viewType"] == kind]


def test_accuracy_is_scattered_against_every_cost(panels: list[dict[str, Any]]) -> None:
    scatters = of_kind(panels, "Scatter Plot")
    axes = [(one["xAxis"], one["yAxis"]) for one in scatters]
    assert axes == [(f"summary:{key}", "summary:best/val/acc") for key in ("params", "macs", "peak_activation_bytes")]


def test_parallel_coordinates_run_over_the_widths_to_the_accuracy(panels: list[dict[str, Any]]) -> None:
    (plot,) = of_kind(panels, "Parallel Coordinates Plot")
    columns = [column["accessor"] for column in plot["columns"]]
    widths = [f"config:model.value.layers.conv{number}.channels" for number in range(1, 8)]
    assert columns == [*widths, "summary:params", "summary:best/val/acc"]


def test_curves_media_and_the_comparer_are_there(panels: list[dict[str, Any]]) -> None:
    metrics = {metric for plot in of_kind(panels, "Run History Line Plot") for metric in plot["metrics"]}
    assert {"val/acc", "train/acc", "val/loss", "train/loss", "lr", "images_per_second"} <= metrics
    assert len(of_kind(panels, "Run Comparer")) == 1
    (media,) = of_kind(panels, "Media Browser")
    assert "test/most_wrong" in media["mediaKeys"]
