"""Models become ONNX files in child processes."""
