"""The engine on a CPU: a network as ONNX graphs, made from its weights, and ONNX Runtime that runs them."""
