"""ONNX with 8-bit integers: a graph rewritten so that they represent it well, then onnxruntime's quantization."""
