"""How a trainer takes a step over more texts than one pass holds, and what it keeps of them from run to run."""

from functools import partial

from torch import Tensor, nn
from transformers import Trainer

from ..model.modeling import LCLForSequenceClassification
from ..model.outputs import LCLOutput
from ..scaling.gradient_cache import GradientCache
from ..scaling.pool import CandidatePool


class ScalingTrainer(Trainer):
    """The part of [`ContrastiveTrainer`] that runs a batch through the model, and that keeps the queue."""

    def _prepare_scaling(self, model: LCLForSequenceClassification) -> None:
        """Makes what `mini_batch_size` and `queue_size` ask for."""
        args = self.args
        # Reformer's positions need one length.
        trim = model.config.text_config.model_type != "reformer"
        self._cache = None if args.mini_batch_size is None else GradientCache(args.mini_batch_size, trim=trim)
        self._pool = CandidatePool(args)

    def _run_batch(self, model: nn.Module, inputs: dict[str, Tensor]) -> LCLOutput:
        """A batch in one pass or in mini-batches."""
        return model(**inputs) if self._cache is None else self._cache.forward(model, inputs)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """As in `transformers.Trainer`; with `mini_batch_size` in two rounds, see [`scaling.GradientCache`]."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self._cache is not None:
            self._cache.backward(
                model,
                no_sync=partial(self.accelerator.no_sync, model),
                context=self.compute_loss_context_manager,
            )
        return loss

    # The two methods that every process runs when the state of a run is saved and taken up again; there is no public
    # hook that knows the checkpoint of a resumed run.

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        if self.args.should_save:
            self._pool.queue.save(output_dir)  # the same in all processes

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if checkpoint is not None:
            self._pool.queue.load(checkpoint, self.args.device)
