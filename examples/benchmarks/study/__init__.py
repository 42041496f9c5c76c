"""What is compared with what on which data: the rooms of `accuracy.py` and `relations.py`."""
