"""Example data for the conformance kit: points with classes, yes-or-no targets or values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import Experiment, use
from lab.cache import cache_folder
from lab.testing import ComponentCase, ConformanceSupport, Example
from lab_basics.points import MLP, PointsData, Task, points

__all__ = ["Classes", "Points", "Values", "YesNo", "support"]

COUNT, WIDTH, CLASSES = 32, 5, 6


def halved(count: int) -> float:
    """Half of the rate after every count."""
    return float(0.5**count)


SCHEDULERS: dict[str, dict[str, Any]] = {
    "constant_lr": {},
    "cosine_annealing_lr": {},
    "cosine_annealing_warm_restarts": {"T_0": 2},
    "cyclic_lr": {"base_lr": 0.01, "max_lr": 0.1},
    "exponential_lr": {"gamma": 0.9},
    "lambda_lr": {"lr_lambda": halved},
    "linear_lr": {},
    "multi_step_lr": {"milestones": [1]},
    "multiplicative_lr": {"lr_lambda": halved},
    "one_cycle_lr": {"max_lr": 0.1},
    "polynomial_lr": {},
    "step_lr": {"step_size": 2},
}


TWO = use("mean_of", members=[use("mlp", hidden_size=4), use("mlp", hidden_size=8)])


class Points(Example):
    """Base class of examples of points: inputs (B, 5)."""

    task: Task = "classes"

    def make_data(self) -> PointsData:
        return points(task=self.task, count=COUNT, input_size=WIDTH, classes=CLASSES)

    def model(self) -> nn.Module:
        return MLP(WIDTH, self.facts["output_size"], hidden_size=8)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(len(batch[0]), self.facts["output_size"], generator=generator)

    def experiment(self) -> Experiment:
        """Return an experiment on these points that refers to components by name, so that any process can build it."""
        return Experiment(
            dataset=use("points", task=self.task, count=COUNT, input_size=WIDTH, classes=CLASSES),
            architecture=use("mlp", hidden_size=4),
            loss={"classes": "cross_entropy", "yes_no": "bce", "value": "mse"}[self.task],
            batch_size=8,
            epochs=1,
        )


class Classes(Points):
    """Points of six classes: output (B, 6), target (B) long."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output, target)

    def perfect_output(self, batch: Any) -> Tensor:
        return 20.0 * functional.one_hot(batch[-1], CLASSES).float()


class YesNo(Points):
    """Points with binary targets: output (B, 1) logits, target (B, 1), 0 or 1."""

    task: Task = "yes_no"
    kinds = ("architectures", "losses", "metrics")

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(output, target)

    def perfect_output(self, batch: Any) -> Tensor:
        return 40.0 * batch[-1] - 20.0


class Values(Points):
    """Points with values: output and target (B, 1)."""

    task: Task = "value"
    kinds = ("architectures", "losses", "metrics")

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.mse_loss(output, target)

    def perfect_output(self, batch: Any) -> Tensor:
        return batch[-1].clone()


def _pretraining() -> Experiment:
    """Return a small experiment whose model is that of ``Classes``."""
    return Experiment(
        dataset=use("points", count=COUNT, input_size=WIDTH, classes=CLASSES),
        architecture=use("mlp", hidden_size=8),
        loss="cross_entropy",
        batch_size=8,
        epochs=1,
    )


def support() -> ConformanceSupport:
    """Return the example data and how components are tried whose signature does not say enough."""
    return ConformanceSupport(
        examples={"classes": Classes, "yes_no": YesNo, "values": Values},
        cases={
            "callbacks.inverse_sqrt": ComponentCase(use("inverse_sqrt", warmup_steps=4)),
            "callbacks.torch_schedule": ComponentCase(
                use("torch_schedule", scheduler=use("exponential_lr", gamma=0.9), every="step")
            ),
            "callbacks.body_from": ComponentCase(
                use("body_from", pretraining=_pretraining, runs=str(cache_folder() / "conformance-runs")),
                examples=("classes",),
                exceptions={"test_leaves_the_process_alone": "it trains a run, before which lab configures torch"},
            ),
            "architectures.mean_of": ComponentCase(TWO, examples=("classes",)),
            "callbacks.members_from_runs": ComponentCase(
                exceptions=dict.fromkeys(
                    (
                        "test_leaves_the_process_alone",
                        "test_listens_only_to_known_events",
                        "test_order_is_given_by_names",
                        "test_training_ends_with_it",
                        "test_works_without_a_folder",
                        "test_leaves_global_random_state_alone",
                        "test_an_observer_changes_no_number",
                        "test_state_can_be_saved",
                        "test_state_survives_a_crash",
                    ),
                    "it needs mean_of and finished runs; its own tests have them",
                )
            ),
            "callbacks.multistep": ComponentCase(use("multistep", milestones=(1,))),
            "datasets.all_examples": ComponentCase(
                use("all_examples", dataset="points"),
                exceptions={
                    "test_splits_are_disjoint": "it is made to train on the validation examples",
                    "test_declares_its_facts": "its facts are those of the dataset that it wraps",
                },
            ),
            "losses.bce": ComponentCase(examples=("yes_no",)),
            "losses.l1": ComponentCase(examples=("values",)),
            "losses.mse": ComponentCase(examples=("values",)),
            "losses.nll": ComponentCase(examples=("classes",)),
            "metrics.accuracy": ComponentCase(examples=("classes", "yes_no")),
            "metrics.auc": ComponentCase(examples=("yes_no",)),
            "metrics.calibration_error": ComponentCase(examples=("classes",)),
            "metrics.f1": ComponentCase(examples=("classes", "yes_no")),
            "metrics.mae": ComponentCase(examples=("values",)),
            "metrics.matthews": ComponentCase(examples=("classes",)),
            "metrics.mse": ComponentCase(examples=("values",)),
            "metrics.pearson": ComponentCase(examples=("values",)),
            "metrics.rmse": ComponentCase(examples=("values",)),
            "metrics.spearman": ComponentCase(examples=("values",)),
            "metrics.top_k_accuracy": ComponentCase(use("top_k_accuracy", k=2)),
            **{
                f"torch_schedulers.{name}": ComponentCase(
                    use(name, **params), exceptions={"test_signature_is_documented": "PyTorch documents it"}
                )
                for name, params in SCHEDULERS.items()
            },
            "tasks.command": ComponentCase(
                use("command", template="echo score: {seed}", parameters={}, patterns={"score": "score: ([0-9]+)"})
            ),
            "steppers.evaluate_only": ComponentCase(
                exceptions={
                    "test_learns": "it is made not to train",
                    "test_fires_the_events_of_a_step": "it steps no optimizer",
                }
            ),
            "steppers.activation_regularized": ComponentCase(use("activation_regularized", part="hidden", beta=0.0)),
        },
    )
