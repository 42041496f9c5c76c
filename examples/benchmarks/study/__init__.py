"""Data, systems and tables of `accuracy.py`, `relations.py` and other benchmarks of accuracy."""
