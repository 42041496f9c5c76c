"""The queue of past embeddings: what it holds, when it is used, and that a resumed run takes it up."""

import copy

import pytest
import torch

from hf_lcl import label_aware_contrastive_loss
from hf_lcl.losses import Objective
from hf_lcl.losses.candidates import Candidates
from hf_lcl.scaling import EmbeddingQueue


def test_the_oldest_leave_first():
    queue = EmbeddingQueue(5)
    for step in range(4):
        queue.add(torch.full((2, 3), float(step)), torch.tensor([step, step]))
        assert len(queue) == min(5, 2 * step + 2)
    assert queue.labels.tolist() == [1, 2, 2, 3, 3]
    assert queue.embeddings[:, 0].tolist() == [1, 2, 2, 3, 3]


def test_a_batch_larger_than_the_queue_leaves_its_last_texts():
    queue = EmbeddingQueue(2)
    queue.add(torch.eye(3), torch.tensor([0, 1, 2]))
    assert queue.labels.tolist() == [1, 2]


def test_it_keeps_no_graph_and_no_more_memory_than_it_needs():
    queue = EmbeddingQueue(2)
    queue.add(torch.ones(100, 3, requires_grad=True) * 2, torch.zeros(100, dtype=torch.long))
    assert not queue.embeddings.requires_grad
    assert queue.embeddings.untyped_storage().nbytes() == 2 * 3 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_it_comes_back_from_a_checkpoint_to_the_last_bit(tmp_path, dtype):
    queue, again = EmbeddingQueue(4), EmbeddingQueue(4)
    queue.add(torch.randn(3, 5).to(dtype), torch.tensor([2, 0, 1]))
    queue.save(tmp_path)
    again.load(tmp_path, torch.device("cpu"))
    assert torch.equal(again.embeddings, queue.embeddings)
    assert torch.equal(again.labels, queue.labels)


def test_a_checkpoint_without_a_queue_leaves_it_empty(tmp_path):
    queue = EmbeddingQueue(4)
    queue.add(torch.eye(2), torch.tensor([0, 1]))
    queue.load(tmp_path, torch.device("cpu"))
    assert len(queue) == 0


def test_the_objective_compares_with_it_and_trains_the_batch_alone():
    generator = torch.Generator().manual_seed(0)
    logits, embeddings, weighting = (
        torch.randn(4, 3, generator=generator).double().requires_grad_() for _ in range(3)
    )
    past, labels, past_labels = torch.randn(5, 3).double(), torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 2, 1, 1])
    candidates = Candidates(
        torch.cat([embeddings, past]), torch.cat([labels, past_labels]), torch.arange(4), batch_size=4
    )
    loss, parts = Objective("lcl", alpha=0.0)(logits, embeddings, weighting, labels, candidates)
    # By hand: the rows of the four anchors out of the loss of all nine texts.
    everything = label_aware_contrastive_loss(
        candidates.embeddings,
        candidates.labels,
        torch.cat([weighting, torch.zeros(5, 3).double()]),
        reduction="none",
    )
    torch.testing.assert_close(loss, everything[:4].mean())
    assert parts["candidates_per_anchor"].value == 8
    assert parts["positives_per_anchor"].value == (2 + 3 + 3 + 1) / 4
    loss.backward()
    assert embeddings.grad.abs().sum() > 0


class TestTrainer:
    """`queue_size` through the Trainer."""

    @staticmethod
    def candidates(trainer) -> list[float]:
        return [line["candidates_per_anchor"] for line in trainer.state.log_history if "candidates_per_anchor" in line]

    def test_it_grows_to_its_size_and_stays_there(self, make_trainer):
        trainer = make_trainer(queue_size=40, num_train_epochs=2)
        trainer.train()
        assert self.candidates(trainer) == [15, 31, 47, 55, 55, 55, 55, 55]

    def test_warm_up_fills_it_and_leaves_it_alone(self, make_trainer):
        trainer = make_trainer(queue_size=40, queue_warmup_steps=3, num_train_epochs=2)
        trainer.train()
        assert self.candidates(trainer) == [15, 15, 15, 55, 55, 55, 55, 55]

    def test_evaluation_neither_uses_nor_fills_it(self, make_trainer):
        trainer = make_trainer(queue_size=40, max_steps=2, per_device_eval_batch_size=6)
        trainer.train()
        before = trainer._step.pool.queue.labels.clone()
        metrics = trainer.evaluate()
        assert metrics["eval_candidates_per_anchor"] == 5
        assert torch.equal(trainer._step.pool.queue.labels, before)

    def test_a_second_training_starts_with_an_empty_one(self, make_trainer):
        trainer = make_trainer(queue_size=40, max_steps=2)
        trainer.train()
        trainer.train()
        assert self.candidates(trainer)[:2] == [15, 31]

    @pytest.mark.parametrize("objective", ["scl", "lcl"])
    def test_a_resumed_run_ends_in_the_same_weights(self, make_trainer, bert, objective):
        settings = {"objective": objective, "queue_size": 40, "num_train_epochs": 2}
        settings |= {"save_strategy": "steps", "save_steps": 3}
        whole = make_trainer(model=copy.deepcopy(bert), folder="whole", **settings)
        whole.train()
        resumed = make_trainer(model=copy.deepcopy(bert), folder="resumed", **settings)
        resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-3")
        for (name, tensor), other in zip(whole.model.state_dict().items(), resumed.model.state_dict().values()):
            assert torch.equal(tensor, other), name

    def test_without_a_contrastive_objective_it_is_refused(self, make_trainer):
        with pytest.raises(ValueError, match="queue_size=8 is of no use to objective='ce'"):
            make_trainer(objective="ce", queue_size=8)

    @pytest.mark.parametrize("settings", [{"queue_size": -1}, {"queue_warmup_steps": -2}])
    def test_negative_sizes_are_refused(self, make_trainer, settings):
        with pytest.raises(ValueError, match="cannot be negative"):
            make_trainer(**settings)
