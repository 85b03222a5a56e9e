"""Detection of state of callbacks and steppers that checkpoints do not hold: a resumed run would lack it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from lab.registry.places import is_local
from lab.training.callback import Callback
from lab.training.state import EVENTS
from lab.training.stepper import Stepper

__all__ = ["unkept_notes"]

BEFORE_TRAINING = ("__init__", "check", "before_fit", "state_dict", "load_state_dict", "deciding_parameters", "setup")
AFTER_TRAINING = ("after_fit",)
IN_A_STEP = ("batch", "backward", "step")
CHANGING = (
    "append",
    "extend",
    "add",
    "update",
    "insert",
    "appendleft",
    "setdefault",
    "pop",
    "popleft",
    "remove",
    "clear",
)


def unkept_notes(callbacks: Iterable[Callback], stepper: Stepper) -> list[str]:
    """Return a note for every callback or stepper that changes attributes in training without a ``state_dict``."""
    owners: list[tuple[str, Any, Any]] = [(f"callback '{each.name}'", each, Callback) for each in callbacks]
    owners.append((f"stepper '{type(stepper).__name__}'", stepper, Stepper))
    notes = []
    for label, owner, base in owners:
        kind = type(owner)
        if getattr(kind, "observer", False) and not is_local(kind.__module__):
            # an installed observer changes no numbers, and its author decides what it keeps
            continue
        # a class with a state_dict of its own is trusted: whether it is complete cannot be read from its source
        names = changing_attributes(kind, base) if kind.state_dict is base.state_dict else ()
        if names:
            notes.append(
                f"{label} keeps state that a checkpoint does not hold: {', '.join(names)}; a resumed run goes on "
                "without it (give it state_dict and load_state_dict)"
            )
    return notes


def changing_attributes(kind: type, base: type) -> tuple[str, ...]:
    """Return attributes that methods of a class change and that a later step or epoch reads."""
    methods = dict(_methods(kind, base))
    changed: dict[str, None] = {}
    for name in _in_training(methods):
        for attribute in _carried_over(methods[name], methods.values()):
            if not _is_made_anew(attribute, name, methods):
                changed[attribute] = None
    return tuple(sorted(changed))


def _methods(kind: type, base: type) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield methods of a class and of its parents below ``base``; the most derived one of a name comes last."""
    owners = [owner for owner in reversed(kind.__mro__) if issubclass(owner, base) and owner is not base]
    for owner in owners:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
        # classes made in a notebook cell or by exec have no source
        except (OSError, TypeError, SyntaxError):
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        yield from ((node.name, node) for node in body if isinstance(node, ast.FunctionDef) and node.args.args)


def _in_training(methods: dict[str, ast.FunctionDef]) -> list[str]:
    """Return methods that run during training: all but those before and after it and their own helpers."""
    outside = [*BEFORE_TRAINING, *AFTER_TRAINING]
    found = [name for name in methods if name not in outside and not name.startswith("_")]
    # the list grows while it is iterated: helpers of helpers are found too
    for name in found:
        found += [other for other in _attributes(methods[name]) if other in methods and other not in found]
    return [name for name in found if name not in outside]


def _attributes(method: ast.FunctionDef) -> list[str]:
    return [name for node in ast.walk(method) if (name := _own(node, method)) is not None]


def _own(node: ast.AST, method: ast.FunctionDef) -> str | None:
    """Return the attribute that ``self.attribute`` names, whatever the first parameter is called."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.value.id == method.args.args[0].arg else None
    return None


def _carried_over(method: ast.FunctionDef, methods: Iterable[ast.FunctionDef]) -> Iterator[str]:
    """Yield attributes that a method updates from their old value, or sets for another method to read."""
    for node in ast.walk(method):
        if isinstance(node, ast.AugAssign):
            target = node.target.value if isinstance(node.target, ast.Subscript) else node.target
            names = [_own(target, method)]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            names = [name for target in _targets(node) for name in _assigned(target, method, methods)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            names = [_own(node.func.value, method)]
        else:
            continue
        yield from (name for name in names if name is not None)


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]


def _assigned(target: ast.expr, method: ast.FunctionDef, methods: Iterable[ast.FunctionDef]) -> list[str | None]:
    if isinstance(target, ast.Subscript):
        return [_own(target.value, method)]
    name = _own(target, method)
    reads: Iterator[tuple[ast.FunctionDef, Any]] = (
        (other, node)
        for other in methods
        if other.name not in BEFORE_TRAINING
        for node in ast.walk(other)
        if name is not None and _own(node, other) == name and isinstance(node.ctx, ast.Load)  # type: ignore[attr-defined]
    )
    end = target.end_lineno or target.lineno
    return [name] if any(other is not method or node.lineno <= end for other, node in reads) else []


def _is_made_anew(attribute: str, changer: str, methods: dict[str, ast.FunctionDef]) -> bool:
    """Return whether an attribute is reset before each step or validation, or before each epoch and not in steps."""
    event = changer.partition("_")[2]
    moments = IN_A_STEP if event in IN_A_STEP else ("epoch", "validate", "eval_weights") if event in EVENTS else ()
    for moment in moments:
        method = methods.get(f"before_{moment}")
        if method is not None and any(_sets(node, attribute, method) for node in ast.walk(method)):
            return True
    return False


def _sets(node: ast.AST, attribute: str, method: ast.FunctionDef) -> bool:
    """Return whether a statement assigns an attribute a value that does not depend on its old one."""
    if not isinstance(node, ast.Assign) or attribute not in [_own(target, method) for target in _targets(node)]:
        return False
    return attribute not in [_own(inner, method) for inner in ast.walk(node.value)]
