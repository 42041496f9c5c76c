"""Serves finished classifiers: graphs for ONNX Runtime, and predictions of large files in parts."""
