"""Export of a trained model for programs without ``lab``, checked against the model that it was made from."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs
import torch
from torch import Tensor, nn

from lab.errors import LabError, describe
from lab.files import atomic_path
from lab.training.data import to_device
from lab.training.structure import describe_structure

if TYPE_CHECKING:
    from lab.training.learner import Learner

__all__ = ["FORMATS", "SUFFIXES", "Export", "Format", "export_model"]

Format = Literal["torch_export", "onnx", "torchscript"]
FORMATS: tuple[str, ...] = get_args(Format)
SUFFIXES: dict[str, str] = {"torch_export": ".pt2", "onnx": ".onnx", "torchscript": ".pt"}

TOLERANCE = 1e-5
"""Largest difference, relative to the largest output, that counts as equal: other kernels round otherwise."""

MAX_REASON = 160
"""Characters of a runtime's own message that are shown."""

Outputs = tuple[Tensor, ...]


@attrs.frozen
class Export:
    """What was exported.

    Attributes:
        path: the file.
        format: its format.
        inputs: type and shape of each input in the example batch.
        difference: largest absolute difference from the model's outputs, over the batches that were compared.
        compared: sizes of these batches.
        other_sizes: whether it takes batches of another size than the one it was made with.
        reason: why not, if it does not.
    """

    path: Path
    format: str
    inputs: Sequence[str]
    difference: float
    compared: Sequence[int]
    other_sizes: bool
    reason: str = ""


def export_model(
    learner: Learner, path: Path, kind: Format = "torch_export", *, split: str = "valid", batch_size: int = 8
) -> Export:
    """Export a learner's model, read the file again, and compare its outputs with the model's.

    The model is called as ``model(*inputs)`` with tensors, in evaluation mode, without gradients. The graph is traced
    from the first examples of the split; a batch of another size shows whether sizes are free.
    ``torch_export`` writes a program of ``torch.export`` (read by ``torch.export.load``), ``onnx`` a file for ONNX
    runtimes, ``torchscript`` a traced TorchScript module (``torch.jit.load``), which PyTorch deprecates.

    Args:
        learner: the trained learner.
        path: the file to write; it is written only if the outputs are equal.
        kind: the format.
        split: where example batches come from.
        batch_size: of the example batch, at least 2: tracing makes a size of 1 a constant.

    Returns:
        what was written.

    Raises:
        LabError: the inputs or outputs are not tensors, the model cannot be traced, the file gives other outputs, the
            split is too small, or a package is missing.
    """
    examples = getattr(learner.data, split, None)
    if examples is None or batch_size < 2 or len(examples) < batch_size:
        size = 0 if examples is None else len(examples)
        raise LabError(
            f"the split {split} has no example batch of {batch_size}",
            where=f"{size} examples",
            hint="at least 2, and at most the size of the split",
        )
    model = learner.model
    first, other = (_inputs(learner, split, count) for count in (batch_size, batch_size - 1))
    with learner.evaluating(), tempfile.TemporaryDirectory() as folder:
        expected = _outputs(_called(model, first))
        # called twice: a model that carries a hidden state, or draws, has no outputs to compare with
        again = _outputs(_called(model, first))
        if _difference(expected, again) > 0:
            raise LabError(
                f"{type(model).__name__} gives other outputs for the same inputs",
                where="export",
                hint="a model that carries a hidden state between batches, or draws numbers, cannot be exported",
            )
        file = Path(folder) / f"model{SUFFIXES[kind]}"
        with _quiet():
            run = _exported(model, first, file, kind)
            difference = _difference(expected, run(first))
        if not difference <= TOLERANCE * _scale(expected):
            raise LabError(
                f"the exported model gives other outputs: they differ by up to {difference:.3g}",
                where=f"format {kind}, {type(model).__name__}",
                hint="code that depends on values of the inputs is traced as it ran once; try another format",
            )
        compared, reason = [batch_size], ""
        try:
            with _quiet():
                found = run(other)
            wanted = _outputs(_called(model, other))
            own = _difference(wanted, found)
            if not own <= TOLERANCE * _scale(wanted):
                reason = f"outputs of another batch differ by up to {own:.3g}"
            else:
                compared.append(batch_size - 1)
                difference = max(difference, own)
        except Exception as error:
            # a size that tracing made a constant is refused by the runtime, each in its own way
            reason = _first_line(error)
        with atomic_path(path) as temporary:
            shutil.copyfile(file, temporary)
    shapes = [f"{str(each.dtype).removeprefix('torch.')} {tuple(each.shape)}" for each in first]
    return Export(path, kind, shapes, difference, compared, not reason, reason)


def _inputs(learner: Learner, split: str, count: int) -> tuple[Tensor, ...]:
    """Return the inputs of a batch of the first examples.

    Raises:
        LabError: they are not tensors.
    """
    examples = learner.data.split(split)
    batch = to_device(next(iter(learner.data.loader(examples, [list(range(count))]))), learner.device)
    if isinstance(batch, (tuple, list)) and len(batch) > 1 and all(isinstance(each, Tensor) for each in batch[:-1]):
        return tuple(batch[:-1])
    raise LabError(
        f"a model can be exported if its inputs are tensors; this batch is {describe_structure(batch)}",
        where=type(learner.data).__name__,
        hint="models that decode step by step, as of translations, stay in lab: lab.load(KEY)",
    )


def _called(model: nn.Module, inputs: Sequence[Tensor]) -> Any:
    try:
        return model(*inputs)
    except Exception as error:
        raise LabError(
            f"{type(model).__name__} cannot be called with its inputs alone: {_first_line(error)}",
            where="export",
            hint="its stepper gives it more than the inputs of a batch, so there is no single call to export",
        ) from error


def _first_line(error: BaseException) -> str:
    line = describe(error).splitlines()[0]
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 1]}…"


def _outputs(value: Any) -> Outputs:
    if isinstance(value, Tensor):
        return (value,)
    if isinstance(value, (tuple, list)) and value and all(isinstance(each, Tensor) for each in value):
        return tuple(value)
    raise LabError(
        f"a model can be exported if its outputs are tensors; this one gives {describe_structure(value)}",
        where="export",
    )


def _difference(one: Outputs, other: Outputs) -> float:
    """Return the largest absolute difference; infinite if structure, shapes or places of NaN differ."""
    if len(one) != len(other) or any(a.shape != b.shape for a, b in zip(one, other, strict=True)):
        return float("inf")
    pairs = [(a.detach().double().cpu(), b.detach().double().cpu()) for a, b in zip(one, other, strict=True)]
    if any(not torch.equal(a.isfinite(), b.isfinite()) for a, b in pairs):
        return float("inf")
    return max(float((a - b)[a.isfinite()].abs().max()) if a.isfinite().any() else 0.0 for a, b in pairs)


def _scale(outputs: Outputs) -> float:
    return max(1.0, *(float(each[each.isfinite()].abs().max()) for each in outputs if each.isfinite().any()))


def _exported(model: nn.Module, inputs: tuple[Tensor, ...], file: Path, kind: Format) -> Callable[..., Outputs]:
    """Write the file, and return the function that runs what it holds.

    Raises:
        LabError: the model cannot be exported, or a package is missing.
    """
    write = {"torch_export": _torch_export, "onnx": _onnx, "torchscript": _torchscript}[kind]
    try:
        return write(model, inputs, file)
    except LabError:
        raise
    except Exception as error:
        raise LabError(
            f"{type(model).__name__} cannot be exported as {kind}: {_first_line(error)}",
            where="its forward does what the format cannot express",
            hint=f"other formats: {', '.join(each for each in FORMATS if each != kind)}",
        ) from error


def _sizes(inputs: Sequence[Tensor]) -> Any:
    # every size may be free; those that the model makes constants become so
    return tuple(dict.fromkeys(range(each.dim()), torch.export.Dim.AUTO) for each in inputs)


def _torch_export(model: nn.Module, inputs: tuple[Tensor, ...], file: Path) -> Callable[..., Outputs]:
    # positional inputs of models with *inputs have one dictionary of sizes each, inside a tuple of their own
    program = _program(model, inputs)
    torch.export.save(program, file)
    loaded = torch.export.load(file).module()
    return lambda given: _outputs(loaded(*given))


def _program(model: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    import inspect

    sizes = _sizes(inputs)
    kinds = [each.kind for each in inspect.signature(model.forward).parameters.values()]
    if kinds and kinds[0] is inspect.Parameter.VAR_POSITIONAL:
        sizes = (sizes,)
    return torch.export.export(model, inputs, dynamic_shapes=sizes)


def _torchscript(model: nn.Module, inputs: tuple[Tensor, ...], file: Path) -> Callable[..., Outputs]:
    # the check of torch runs the model again and prints; outputs are compared here
    traced: Any = torch.jit.trace(model, inputs, check_trace=False)  # type: ignore[no-untyped-call]
    traced.save(str(file))
    loaded: Any = torch.jit.load(str(file))  # type: ignore[no-untyped-call]
    return lambda given: _outputs(loaded(*given))


def _onnx(model: nn.Module, inputs: tuple[Tensor, ...], file: Path) -> Callable[..., Outputs]:
    try:
        import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]
        import onnxscript  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
    except ImportError as error:
        raise LabError(
            "the format onnx needs onnx, onnxscript and onnxruntime",
            where=str(error),
            hint="pip install 'lab-ablation[onnx]'",
        ) from error
    # one file: weights beside it would be lost when it is moved; onnx takes 2 GB so
    torch.onnx.export(_program(model, inputs), inputs, file, external_data=False, verbose=False)
    options = onnxruntime.SessionOptions()
    # errors are raised; without this they are printed, too
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(given: Sequence[Tensor]) -> Outputs:
        found = session.run(None, {name: each.cpu().numpy() for name, each in zip(names, given, strict=True)})
        return tuple(torch.as_tensor(each) for each in found)

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the warnings of exporters: of deprecations, and of constants, which the comparison finds."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export", "torch.onnx")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
