"""From a finished classifier to what answers many texts: graphs for ONNX Runtime, and predictions in parts."""
