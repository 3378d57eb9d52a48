"""The CPU engine: builds ONNX graphs from a network's weights and runs them with ONNX Runtime."""
