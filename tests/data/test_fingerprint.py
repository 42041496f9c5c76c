"""The fingerprint of a data set depends only on its rows."""

from datasets import Dataset

from hf_lcl.data.fingerprint import fingerprint


def test_the_fingerprint_tells_what_stands_in_the_rows():
    rows = {"text": ["a", "b"], "label": [0, 1]}
    same = Dataset.from_dict(rows | {"length": [1, 2]})
    assert fingerprint(Dataset.from_dict(rows)) == fingerprint(same)
    assert fingerprint(same) != fingerprint(Dataset.from_dict(rows | {"label": [1, 0]}))
    assert fingerprint(same) != fingerprint(same.select([1, 0]))
