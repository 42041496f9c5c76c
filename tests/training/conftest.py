"""A trainer that needs nothing but what a test wants to say."""

import pytest

from hf_lcl import (
    ContrastiveTrainer,
    ContrastiveTrainingArguments,
    LCLForSequenceClassification,
    classification_metrics,
)


@pytest.fixture
def make_trainer(splits, request, tmp_path, bert):
    """A `ContrastiveTrainer` on the tiny classifier; keyword arguments are training arguments."""

    def make(
        model=None,
        weighting=None,
        folder="out",
        callbacks=None,
        train=None,
        tokenizer=None,
        peft_config=None,
        **settings,
    ):
        settings = {
            "output_dir": str(tmp_path / folder),
            "per_device_train_batch_size": 16,
            "learning_rate": 1e-3,
            "logging_steps": 1,
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
            "dataloader_pin_memory": False,
        } | settings
        args = ContrastiveTrainingArguments(**settings)
        if model is None:
            weighting = weighting or ("head" if args.objective == "lcl" else "none")
            model = LCLForSequenceClassification.from_native(bert, weighting=weighting)
        return ContrastiveTrainer(
            model=model,
            args=args,
            train_dataset=splits["train"] if train is None else train,
            eval_dataset=splits["validation"],
            processing_class=tokenizer or request.getfixturevalue("tokenizer"),
            compute_metrics=classification_metrics,
            callbacks=callbacks,
            peft_config=peft_config,
        )

    return make
