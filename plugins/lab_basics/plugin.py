"""Basic components: samplers, steppers, schedules, optimizers, losses, metrics and general callbacks."""

from __future__ import annotations

from typing import Any

from lab import RegistrySpec, hookimpl, preset


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Registries ``predictors`` and ``torch_schedulers``."""
    return [
        RegistrySpec(
            "predictors", "predictor", "lab_basics.prediction:Predictor", "prediction of files with finished runs"
        ),
        RegistrySpec(
            "torch_schedulers",
            "scheduler",
            "torch.optim.lr_scheduler:LRScheduler",
            "schedulers of PyTorch, for the callback torch_schedule",
            ("optimizer", "T_max", "total_steps"),
        ),
    ]


@hookimpl
def lab_torch_schedulers() -> dict[str, Any]:
    """Schedulers of ``torch.optim.lr_scheduler`` that need no metric and no other scheduler."""
    names = {
        "constant_lr": "ConstantLR",
        "cosine_annealing_lr": "CosineAnnealingLR",
        "cosine_annealing_warm_restarts": "CosineAnnealingWarmRestarts",
        "cyclic_lr": "CyclicLR",
        "exponential_lr": "ExponentialLR",
        "lambda_lr": "LambdaLR",
        "linear_lr": "LinearLR",
        "multi_step_lr": "MultiStepLR",
        "multiplicative_lr": "MultiplicativeLR",
        "one_cycle_lr": "OneCycleLR",
        "polynomial_lr": "PolynomialLR",
        "step_lr": "StepLR",
    }
    return {name: f"torch.optim.lr_scheduler:{each}" for name, each in names.items()}


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Generated points, for examples and tests; a wrapper that trains on validation examples, too."""
    return {"all_examples": "lab_basics.refit:all_examples", "points": "lab_basics.points:points"}


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Multilayer perceptron; mean of several models."""
    return {"mean_of": "lab_basics.ensembles:MeanOf", "mlp": "lab_basics.points:MLP"}


@hookimpl
def lab_samplers() -> dict[str, Any]:
    """Orders of the examples, and batches of them."""
    return {
        "bucket": "lab_basics.samplers:Bucket",
        "full_batch": "lab_basics.samplers:FullBatch",
        "sequential": "lab_basics.samplers:Sequential",
        "shuffle": "lab_basics.samplers:Shuffle",
        "sort": "lab_basics.samplers:Sort",
        "sortish": "lab_basics.samplers:Sortish",
    }


@hookimpl
def lab_steppers() -> dict[str, Any]:
    """Supervised training steps, the late and compressed gradients, models that fit themselves, no training."""
    return {
        "activation_regularized": "lab_basics.steppers:ActivationRegularized",
        "compressed_gradients": "lab_basics.gradients:CompressedGradients",
        "delayed_gradients": "lab_basics.gradients:DelayedGradients",
        "evaluate_only": "lab_basics.ensembles:EvaluateOnly",
        "fit_or_step": "lab_basics.fitting:FitOrStep",
        "supervised": "lab_basics.steppers:Supervised",
    }


@hookimpl
def lab_optimizers() -> dict[str, Any]:
    """Torch's optimizers, Yogi, and optimizers written out."""
    return {
        "adadelta": "lab_basics.optimizers:adadelta",
        "adadelta_written": "lab_basics.written:WrittenAdadelta",
        "adagrad": "lab_basics.optimizers:adagrad",
        "adagrad_written": "lab_basics.written:WrittenAdaGrad",
        "adam": "lab_basics.optimizers:adam",
        "adam_written": "lab_basics.written:WrittenAdam",
        "adamw": "lab_basics.optimizers:adamw",
        "amsgrad": preset("adam", amsgrad=True),
        "momentum": preset("sgd", momentum=0.9),
        "nesterov": preset("sgd", momentum=0.9, nesterov=True),
        "rmsprop": "lab_basics.optimizers:rmsprop",
        "rmsprop_written": "lab_basics.written:WrittenRMSProp",
        "sgd": "lab_basics.optimizers:sgd",
        "sgd_written": "lab_basics.written:WrittenSGD",
        "yogi": "lab_basics.optimizers:yogi",
    }


@hookimpl
def lab_losses() -> dict[str, Any]:
    """General losses."""
    return {
        "bce": "lab_basics.losses:bce",
        "cross_entropy": "lab_basics.losses:cross_entropy",
        "l1": "lab_basics.losses:l1",
        "mse": "lab_basics.losses:mse",
        "nll": "lab_basics.losses:nll",
    }


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """General metrics."""
    return {
        "accuracy": "lab_basics.metrics:Accuracy",
        "auc": "lab_basics.metrics:AUC",
        "calibration_error": "lab_basics.scores:CalibrationError",
        "f1": "lab_basics.metrics:F1",
        "mae": "lab_basics.metrics:MAE",
        "matthews": "lab_basics.scores:Matthews",
        "mse": "lab_basics.metrics:MSE",
        "multilabel_accuracy": "lab_basics.scores:MultilabelAccuracy",
        "multilabel_f1": "lab_basics.scores:MultilabelF1",
        "pearson": "lab_basics.scores:Pearson",
        "perplexity": "lab_basics.metrics:Perplexity",
        "rmse": "lab_basics.metrics:RMSE",
        "spearman": "lab_basics.scores:Spearman",
        "top_k_accuracy": "lab_basics.metrics:TopKAccuracy",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Initial weights, those of another run, schedules, checkpoints, stopping, averaging, logging."""
    return {
        "activation_stats": "lab_basics.hooks:ActivationStats",
        "body_from": "lab_basics.pretraining:BodyFrom",
        "checkpoint": "lab.training.checkpoint:Checkpoint",
        "clr": "lab_basics.schedules:CircularLR",
        "cos_anneal": "lab_basics.schedules:CosAnneal",
        "cos_anneal_course": preset("cos_anneal", slow_start=0.05),
        "cosine": "lab_basics.schedules:Cosine",
        "csv_log": "lab_basics.callbacks:CSVLog",
        "early_stopping": "lab_basics.callbacks:EarlyStopping",
        "ema": "lab_basics.averaging:EMA",
        "exponential": "lab_basics.decays:Exponential",
        "factor": "lab_basics.schedules:Factor",
        "freeze": "lab_basics.freezing:Freeze",
        "grad_norm": "lab_basics.callbacks:GradientNorm",
        "init": "lab_basics.initialization:Init",
        "inverse_sqrt": "lab_basics.schedules:InverseSqrt",
        "members_from_runs": "lab_basics.ensembles:MembersFromRuns",
        "multistep": "lab_basics.schedules:MultiStep",
        "on_plateau": "lab_basics.schedules:OnPlateau",
        "one_cycle": "lab.training.schedules:OneCycle",
        "polynomial": "lab_basics.decays:Polynomial",
        "save_best": "lab_basics.callbacks:SaveBest",
        "square_root": preset("polynomial", alpha=0.5, beta=1.0),
        "swa": "lab_basics.averaging:SWA",
        "tensorboard": "lab_basics.tensorboard:TensorBoard",
        "timing": "lab_basics.callbacks:Timing",
        "torch_schedule": "lab_basics.torch_schedules:TorchSchedule",
        "warmup": "lab_basics.schedules:Warmup",
    }


@hookimpl
def lab_executors() -> dict[str, Any]:
    """Execution of runs in this process."""
    return {
        "in_process": "lab.study.execute:InProcess",
    }


@hookimpl
def lab_tasks() -> dict[str, str]:
    """Tasks: a command line as a whole experiment."""
    return {"command": "lab_basics.command_task:command"}


@hookimpl
def lab_former_names() -> dict[str, str]:
    """Parameters that were renamed."""
    return {"activation_regularised": "activation_regularized", "checkpoint.worth_s": "min_interval_s"}


@hookimpl
def lab_study_methods() -> dict[str, str]:
    """Arms that are means of the predictions of other arms."""
    return {"ensemble": "lab_basics.ensembles:ensemble"}


@hookimpl
def lab_rounds() -> dict[str, str]:
    """Means of arms, once these are trained."""
    return {"ensemble": "lab_basics.ensembles:next_arms"}


@hookimpl
def lab_run_finished(run: Any, result: Any) -> None:
    """Write pictures and texts of a run to TensorBoard."""
    from lab_basics.tensorboard import write_artefacts

    write_artefacts(result.folder, max(0, len(result.history()) - 1))


@hookimpl
def lab_study_finished(study: Any, runs: Any) -> None:
    """Write hyper-parameters and final metrics of a study to TensorBoard."""
    from lab_basics.tensorboard import write_hyper_parameters

    write_hyper_parameters(study, runs)


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_basics.conformance:support"


@hookimpl
def lab_scaffolds() -> dict[str, str]:
    """Templates for ``lab new``."""
    kinds = ("architecture", "callback", "dataset", "executor", "experiment", "loss", "metric", "optimizer")
    others = ("sampler", "stepper", "task", "command", "report-section", "learner-method")
    return {kind: f"lab_basics:scaffolds/{kind}" for kind in (*kinds, *others)}


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.show_batch()``."""
    return {"show_batch": "lab_basics.batch_table:show_batch"}


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """Add commands that check, start, install, predict and draw."""
    return {
        "check": (
            "lab_basics.check_command:check",
            "Check that components keep their contracts.",
            "Components and plugins",
        ),
        "ensemble": (
            "lab_basics.ensemble_command:ensemble",
            "Evaluate the mean of the predictions of several runs.",
            "Trained models",
        ),
        "examples": (
            "lab_basics.examples_command:examples",
            "List studies that come with lab, and copy them.",
            "Ask a question",
        ),
        "find-lr": (
            "lab_basics.commands:find_lr",
            "Sweep the learning rate and show where the loss falls fastest.",
            "Ask a question",
        ),
        "install": (
            "lab_basics.install_command:install",
            "Install packages with plugins, by pip.",
            "Components and plugins",
        ),
        "export": (
            "lab_basics.export_command:export",
            "Write a trained model for programs without lab.",
            "Trained models",
        ),
        "predict": (
            "lab_basics.predict_command:predict",
            "Predict the rows of a file with a trained model.",
            "Trained models",
        ),
        "refit": (
            "lab_basics.refit_command:refit",
            "Train a finished run's recipe on all of its examples.",
            "Trained models",
        ),
        "new": ("lab_basics.new_command:new", "Start a plugin, or a study.", "Ask a question"),
        "tensorboard": (
            "lab_basics.tensorboard_command:tensorboard",
            "Open the runs of a study in TensorBoard.",
            "Read the answer",
        ),
        "uninstall": (
            "lab_basics.install_command:uninstall",
            "Remove packages with plugins.",
            "Components and plugins",
        ),
        "schedule": ("lab_basics.schedule_command:schedule", "Draw the learning rates of a study.", "Ask a question"),
        "sheet": (
            "lab_basics.sheet_command:sheet",
            "Show a training batch as the model sees it.",
            "Ask a question",
        ),
    }
