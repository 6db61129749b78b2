"""The metadata of an exported file."""

import json
from collections.abc import Mapping

from cifar_exp import __version__
from cifar_exp.inference.classifier import TrainedNetwork
from cifar_exp.network.cost import costs_of

INPUT, OUTPUT = "images", "logits"


def about(trained: TrainedNetwork, data_name: str | None) -> dict[str, str]:
    """Return input, output, classes, normalisation, cost and training data as texts; lists are JSON."""
    plan, classifier = trained.plan, trained.classifier
    channels, height, width = plan.input_shape
    facts: Mapping[str, object] = {
        "input": f"{INPUT}: uint8, N×{channels}×{height}×{width}, raw pixels 0–255, RGB, channels first; "
        "normalisation is in the graph",
        "output": f"{OUTPUT}: float32, N×{plan.num_classes}, in the order of class_names; softmax gives probabilities",
        "class_names": json.dumps(list(trained.class_names)),  # in ASCII: a name may have undecodable bytes
        "mean": json.dumps(classifier.mean.flatten().tolist()),
        "std": json.dumps(classifier.std.flatten().tolist()),
        "model": plan.name,
        **costs_of(plan),
        "training_data": data_name or "unknown",
        "producer": f"cifar-exp {__version__}",
    }
    return {name: str(value) for name, value in facts.items()}
