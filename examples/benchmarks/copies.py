"""Processes that are copies of one that has done the imports and computed nothing: fresh ones, without the wait."""

from multiprocessing import get_context


COPIES = get_context("forkserver")
COPIES.set_forkserver_preload(
    ["hf_lcl.trainer", "hf_lcl.evaluation", "sklearn.linear_model", "transformers.models.bert.modeling_bert"]
)
