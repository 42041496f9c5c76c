"""The model: any encoder with its native classifier, and a weighting network beside it. Travels with checkpoints."""
