"""What the trained modules contain, by position in the plan: weights, and what their operations compute on images."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from cifar_exp.export.c.integers import Array
from cifar_exp.inference.classifier import Classifier
from cifar_exp.network.assembled import Layer, Network
from cifar_exp.network.firmware.operations import Key
from cifar_exp.network.modules import LayerScale, PadShortcut, SplitChannels
from cifar_exp.network.plan import Plan, PlannedLayer

IMAGES_AT_ONCE = 32


@dataclass
class Parameters:
    """The numbers of one operation; which of them it has depends on its kind."""

    weights: list[Array] = field(default_factory=list)  # (out, in / groups, kernel, kernel), one per part
    bias: Array | None = None
    scale: Array | None = None  # of a batch norm or a layer scale: scale · x + offset
    offset: Array | None = None


def _layers(classifier: Classifier, plan: Plan) -> Iterator[tuple[PlannedLayer, Layer]]:
    network = classifier.network
    assert isinstance(network, Network)
    for planned in plan.layers:
        yield planned, network.layers[planned.name]  # type: ignore[misc]
    for planned in plan.head:
        yield planned, network.head[planned.name]  # type: ignore[misc]


def _parts(planned: PlannedLayer, layer: Layer) -> Iterator[tuple[Key, nn.Module | None]]:
    """Return the modules of a layer's operations in order; None stands for the addition."""
    for step in planned.steps:
        module = layer.steps[step.name] if step.ops else None
        if module is None:
            yield Key(planned.name, step.name), None
            continue
        several = list(module.children()) if len(step.ops) > 1 else [module]
        yield from ((Key(planned.name, step.name, index), part) for index, part in enumerate(several))


def parameters_of(classifier: Classifier, plan: Plan) -> dict[Key, Parameters]:
    """Return the numbers of each operation that has some."""
    found = {}
    with torch.no_grad():
        for planned, layer in _layers(classifier, plan):
            for key, module in _parts(planned, layer):
                if module is not None:
                    found[key] = _read(module)
            if planned.projection is not None:
                found[Key(planned.name, "projection")] = _read(layer.projection)
    return found


def _read(module: nn.Module) -> Parameters:
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        assert module.running_var is not None
        assert module.running_mean is not None
        scale = module.weight.double() / (module.running_var.double() + module.eps).sqrt()
        return Parameters(scale=_array(scale), offset=_array(module.bias - module.running_mean * scale))
    if isinstance(module, LayerScale):
        return Parameters(scale=_array(module.scale), offset=np.zeros(len(module.scale)))
    if isinstance(module, SplitChannels):
        parts = zip(module.splits, module.parts, strict=True)
        return Parameters([_weights(part, channels) for channels, part in parts])
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            weights = _array(part.weight)
            bias = None if part.bias is None else _array(part.bias)
            return Parameters([weights.reshape(*weights.shape[:2], *weights.shape[2:] or (1, 1))], bias)
    return Parameters()


def _weights(part: nn.Module, channels: int) -> Array:
    """Of one split of a mixed depthwise convolution; a split that passes through has a weight of one."""
    return np.ones((channels, 1, 1, 1)) if isinstance(part, PadShortcut) else _read(part).weights[0]


def _array(tensor: Tensor) -> Array:
    return tensor.detach().double().numpy().copy()


def ranges_of(classifier: Classifier, plan: Plan, images: Tensor) -> dict[Key, tuple[float, float]]:
    """Return the range of values after each operation on images uint8 (N, C, H, W).

    It is the mean over groups of images of their least and their greatest value: rare outliers are saturated, and
    everything else gets finer steps.
    """
    groups = images.split(IMAGES_AT_ONCE)
    found: dict[Key, tuple[float, float]] = {}
    with torch.inference_mode():
        for some in groups:
            for key, values in _observed(classifier, plan, some):
                low, high = found.get(key, (0.0, 0.0))
                found[key] = (low + values.min().item() / len(groups), high + values.max().item() / len(groups))
    return found


def _observed(classifier: Classifier, plan: Plan, images: Tensor) -> Iterator[tuple[Key, Tensor]]:
    """Run the network as `Network.forward` does; yield what each operation computes."""
    x = (images.float() - classifier.mean) / classifier.std
    outputs = {"input": x}
    for planned, layer in _layers(classifier, plan):
        for key, module in _parts(planned, layer):
            if module is None:
                assert planned.skip is not None
                added = layer.projection(outputs[planned.skip])
                yield Key(planned.name, "projection"), added
                x = x + added
            else:
                x = module(x)
            yield key, x
        outputs[planned.name] = x
