"""An ONNX graph that is being rewritten."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WEIGHTED = {"Conv", "Gemm"}


class Graph:
    """Nodes and constants of a model as torch exports it: weights have the output channels first."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        self.model = model
        self.nodes: list[Any] = list(model.graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

    def store(self) -> None:
        """Put nodes and the constants that they read back into the model."""
        from onnx import numpy_helper

        graph = self.model.graph
        read = {name for node in self.nodes for name in node.input}
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(
            numpy_helper.from_array(values, name) for name, values in self.constants.items() if name in read
        )

    def maker(self, tensor: str) -> Any | None:
        """Return the node that computes `tensor`; None for an input or a constant."""
        return next((node for node in self.nodes if tensor in node.output), None)

    def readers(self, name: str) -> list[Any]:
        """Return the nodes that read a tensor or a constant, a node twice where it reads it twice."""
        return [node for node in self.nodes for read in node.input if read == name]

    def values(self, node: Any, index: int) -> Floats:
        """Return the constant that is a node's input at `index`."""
        values: Floats = self.constants[node.input[index]]
        return values

    def set_values(self, node: Any, index: int, values: NDArray[Any]) -> None:
        """Give a node a constant of its own as its input at `index`."""
        name = f"{node.output[0]}.input{index}"
        self.constants[name] = values.astype(np.float32)
        node.input[index] = name

    def has_shared_weights(self, node: Any) -> bool:
        """Return whether another node reads the weights of a convolution or a dense layer too."""
        return len(self.readers(node.input[1])) > 1

    def scale_outputs(self, node: Any, factor: Floats) -> None:
        """Multiply the outputs of a convolution or a dense layer by a factor for each channel."""
        for index in range(1, len(node.input)):
            values = self.values(node, index)
            self.set_values(node, index, values * factor.reshape(-1, *[1] * (values.ndim - 1)))


def attribute(node: Any, name: str, default: Any) -> Any:
    """Return an attribute of a node."""
    from onnx import helper

    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)
