"""Processes that are copies of one that has imported the large libraries: fresh ones, without the wait."""

from multiprocessing import get_context


COPIES = get_context("forkserver")
COPIES.set_forkserver_preload(
    [
        *("torch", "torch.distributed", "datasets", "evaluate", "sklearn.linear_model", "sklearn.metrics"),
        *("transformers.trainer", "transformers.pipelines", "transformers.models.bert.modeling_bert"),
    ]
)
