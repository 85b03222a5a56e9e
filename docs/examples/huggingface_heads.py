"""Do more attention heads help a tiny encoder to count? A Hugging Face Trainer."""

import torch
from lab_bridges.huggingface import LabCallback
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import lab
from lab import Study, use


class MoreOften(Dataset):
    """Sequences of twelve tokens, labeled by whether token 3 occurs more often than token 4."""

    def __init__(self, count: int, seed: int) -> None:
        self.tokens = torch.randint(3, 7, (count, 12), generator=torch.Generator().manual_seed(seed))
        self.labels = ((self.tokens == 3).sum(1) > (self.tokens == 4).sum(1)).long()

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.labels[index]}


def train(*, heads: int = 1, layers: int = 1, lr: float = 3e-3, epochs: int = 3, run: lab.TaskRun) -> dict[str, float]:
    """Train an encoder from its configuration, without a download, and return the metrics of the last evaluation."""
    config = BertConfig(
        vocab_size=7,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    callback = LabCallback(run)
    options = TrainingArguments(
        num_train_epochs=epochs,
        learning_rate=lr,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=100,
        **callback.training_arguments(),
    )
    trainer = Trainer(
        BertForSequenceClassification(config),
        options,
        train_dataset=MoreOften(400, 1),
        eval_dataset=MoreOften(200, 2),
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())},
        callbacks=[callback],
    )
    trainer.train(resume_from_checkpoint=callback.resume_path())
    return callback.metrics()


study = Study(use(train), seeds=3, compare="valid_accuracy", higher_is_better=True).swap("heads", {"four heads": 4})
