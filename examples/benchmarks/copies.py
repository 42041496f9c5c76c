"""A forkserver that has imported the large libraries, to start fresh processes without waiting for imports."""

from multiprocessing import get_context


COPIES = get_context("forkserver")
COPIES.set_forkserver_preload(
    [
        *("torch", "torch.distributed", "datasets", "evaluate", "sklearn.linear_model", "sklearn.metrics"),
        *("transformers.trainer", "transformers.pipelines", "transformers.models.bert.modeling_bert"),
    ]
)
