"""The commands of `python -m hf_lcl`, one file each."""
