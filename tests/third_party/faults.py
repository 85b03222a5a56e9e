"""Planted faults of plugins, one module each: where it is wrong, and what a user must be told.

The line that is to be named ends with ``# here``. A fault is found when plugins are loaded (``load``), when a study is
planned (``plan``), when it is trained (``run``) or afterwards, in the hook or the command that it breaks (``hook``).
"""

from __future__ import annotations

import attrs

__all__ = ["FAULTS", "Fault"]

HEAD = "from __future__ import annotations\nfrom lab import hookimpl\n"
TORCH = HEAD + "import torch\nfrom torch import nn\n"


@attrs.frozen
class Fault:
    """One fault.

    Attributes:
        name: of the fault; its plugin is ``faulty_<name>``.
        when: the earliest moment at which it can be known.
        says: a part of the message.
        source: of the plugin; an empty one is a plugin without module.
        kind: the registry of the component ``broken``, or empty.
        check: whether ``lab check`` finds it too, as the kit's business.
        has_line: whether its line is named.
    """

    name: str
    when: str
    says: str
    source: str
    kind: str = ""
    check: bool = True
    has_line: bool = True

    @property
    def plugin(self) -> str:
        """Name of its plugin, distribution and module."""
        return f"faulty_{self.name}"

    @property
    def line(self) -> int:
        """Number of the line that is to be named; 0 if none is."""
        marked = [number for number, line in enumerate(self.source.splitlines(), 1) if line.endswith("# here")]
        return marked[0] if marked and self.has_line else 0


FAULTS: list[Fault] = []


def _hook(hook: str, returned: str) -> str:
    return f"\n\n@hookimpl\ndef {hook}():\n    return {returned}\n"


def _component(kind: str, name: str, says: str, source: str, *, when: str = "plan", **more: bool) -> None:
    FAULTS.append(Fault(name, when, says, TORCH + source + _hook(f"lab_{kind}", '{"broken": broken}'), kind, **more))


def _plugin(name: str, says: str, source: str, *, when: str = "load", **more: bool) -> None:
    FAULTS.append(Fault(name, when, says, HEAD + source, "", **{"check": False, **more}))


# --- while plugins are loaded -----------------------------------------------------------------------------------------

_plugin("import", "No module named 'no_such_package'", "import no_such_package  # here\n")
_plugin("raises", "ValueError: no license", "raise ValueError('no license')  # here\n")
_plugin("exits", "SystemExit: 3", "import sys\nsys.exit(3)  # here\n")
_plugin("skips", "GeneratorExit", "raise GeneratorExit  # here\n")
_plugin("syntax", "SyntaxError", "def broken(:  # here\n    pass\n")
_plugin("recursion", "RecursionError", "def deeper():\n    return deeper()  # here\n\ndeeper()\n")
_plugin("chdir", "changes the working folder", "import os\nos.chdir('/')  # here\n")
_plugin(
    "variable", "the environment variable OMP_NUM_THREADS", "import os\nos.environ['OMP_NUM_THREADS'] = '7'  # here\n"
)
_plugin("misspelt", "did you mean: lab_losses?", _hook("lab_loses", "{}").replace("():", "():  # here"))
_plugin(
    "absent",
    "no plugin that is loaded opens a registry 'flavours'",
    _hook("lab_flavours", "{}").replace("():", "():  # here"),
)
_plugin(
    "argument",
    "has no argument 'pages'",
    "@hookimpl\ndef lab_report_sections(pages):  # here\n    return []\n",
)
_plugin("wrapper", "wrappers are not supported", "@hookimpl(wrapper=True)\ndef lab_losses():  # here\n    yield\n")
_plugin("list", "must return a dictionary, not list", _hook("lab_losses", "[3]").replace("():", "():  # here"))
_plugin("rubbish", "must be 'module:attribute'", _hook("lab_losses", '{"a": 3}').replace("():", "():  # here"))
_plugin("name", "not a valid component name", _hook("lab_losses", '{"a b": len}').replace("():", "():  # here"))
_plugin("hook", "NameError: name 'missing'", _hook("lab_losses", "missing  # here"))
_plugin("clash", "belongs to lab_basics", _hook("lab_optimizers", '{"adam": len}').replace("():", "():  # here"))
_plugin("registry", "list of RegistrySpec", _hook("lab_registries", '["a"]').replace("():", "():  # here"))
_plugin("unmarked", "lacks the decorator @hookimpl", "\n\ndef lab_losses():  # here\n    return {}\n")
_plugin("interrupts", "what Ctrl-C or SIGTERM does",
        "import signal\nsignal.signal(signal.SIGINT, lambda *_: None)\n", has_line=False)  # fmt: skip
_plugin("excepthook", "sys.excepthook", "import sys\nsys.excepthook = print\n", has_line=False)
_plugin("api", "made for plugin API >=7", "plugin_api = '>=7'\n", has_line=False)
_plugin(
    "methods",
    "'fit' of lab_learner_methods",
    _hook("lab_learner_methods", '{"fit": "a:b"}').replace("():", "():  # here"),
    when="hook",
    has_line=False,
)

# --- architectures ----------------------------------------------------------------------------------------------------

MODEL = """
class broken(nn.Module):
    \"\"\"A model.\"\"\"

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(input_size, output_size)
        {init}

    def forward(self, inputs):
        {forward}
        return self.layer(inputs)
"""


def _model(name: str, says: str, init: str = "pass", forward: str = "pass", **more: object) -> None:
    _component("architectures", name, says, MODEL.format(init=init, forward=forward), **more)  # type: ignore[arg-type]


_model("index", "index 75 is out of bounds", forward="inputs[torch.tensor([75])]  # here")
_model("init", "ZeroDivisionError", init="1 / 0  # here")
_model("string", "could not convert string to float", forward="float('wide')  # here")
_model("deep", "RecursionError", forward="return self.forward(inputs)  # here")
_model("matrix", "mat1 and mat2", forward="inputs = self.layer(self.layer(inputs))  # here")
_model("nan", "not a number before training", init="self.layer.weight.data[:] = float('nan')", has_line=False)
_model("seeds", "changes the seed of torch", init="torch.manual_seed(0)", has_line=False)
_model("dtype", "default dtype", init="torch.set_default_dtype(torch.float64)", has_line=False)
_model("folder", "the working folder", init="import os; os.chdir('/')", has_line=False)
_model("patch", "torch.relu", init="torch.relu = torch.tanh", has_line=False)
_model("patch_later", "torch.relu", forward="torch.relu = torch.tanh", has_line=False)
_model("threads", "torch's number of threads", init="torch.set_num_threads(7)", has_line=False)
_model("gradients", "torch's gradient mode", forward="torch.set_grad_enabled(False)", has_line=False)
_model("built", "variable OMP_NUM_THREADS", init="import os; os.environ['OMP_NUM_THREADS'] = '9'", has_line=False)
_model("in_list", "layers.0.weight", init="self.layers = [nn.Linear(2, 2)]", has_line=False)
_model("flat", "output", forward="return self.layer(inputs)[:, :1]", has_line=False)
_model("detached", "the loss has no gradient", forward="return self.layer(inputs).detach()", has_line=False)
_model(
    "counts",
    "gives another model when it is built again",
    init="broken.made = getattr(broken, 'made', 0) + 1; self.extra = nn.Parameter(torch.zeros(broken.made))",
    has_line=False,
)
_model(
    "draws",
    "gives another model when it is built again",
    init="import random; self.layer.weight.data += random.SystemRandom().random()",
    has_line=False,
)
_component(
    "architectures", "no_model", "must be an nn.Module", "def broken(input_size: int):  # here\n    return {'a': 1}\n"
)
_component(
    "architectures", "unknown_fact", "'colours'", "def broken(colours: int):  # here\n    return nn.Linear(2, 2)\n"
)

# --- losses -----------------------------------------------------------------------------------------------------------

LOSS = """
def broken(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:{mark}
    \"\"\"A loss.\"\"\"
    {body}
"""


def _loss(name: str, says: str, body: str, mark: str = "", **more: object) -> None:
    _component("losses", name, says, LOSS.format(body=body, mark=mark), **more)  # type: ignore[arg-type]


_loss(
    "vector",
    "not a scalar",
    "return nn.functional.cross_entropy(output, target, reduction='none')",
    mark="  # here",
)
_loss("loss_raises", "IndexError: index 75", "return output[75].sum()  # here")
_loss("loss_float", "the loss is float, not a scalar tensor", "return 0.5", mark="  # here")
_loss("loss_nan", "loss is nan", "return output.sum() * float('nan')", has_line=False)
_loss(
    "overwrites",
    "changes the output or the target",
    "target[:] = 0; return nn.functional.cross_entropy(output, target)",
    mark="  # here",
    check=False,
)
_loss(
    "writes_output",
    "changes the output or the target",
    "loss = nn.functional.cross_entropy(output, target); output.data.zero_(); return loss",
    mark="  # here",
)

# --- samplers ---------------------------------------------------------------------------------------------------------

SAMPLER = """
class broken:{mark}
    \"\"\"A sampler.\"\"\"

    def __init__(self, size: int, batch_size: int, generator: torch.Generator) -> None:
        self.size, self.batch_size = size, batch_size

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self):
        {body}
        for start in range(0, self.size, self.batch_size):
            yield list(range(start, min(start + self.batch_size, self.size))){more}
"""


def _sampler(name: str, says: str, body: str = "pass", more: str = "", mark: str = "  # here", **rest: object) -> None:
    _component("samplers", name, says, SAMPLER.format(body=body, more=more, mark=mark), **rest)  # type: ignore[arg-type]


_sampler("beyond", "the index 1000000", body="yield [10**6]")
_sampler("extra", "declares", body="yield [0]")
_sampler("empty", "is empty", body="yield []")
_sampler("repeats", "index 0 of the train split twice", more="; yield [0]")
_sampler("endless", "declares", body="while True:\n            yield [0]")
_component(
    "samplers",
    "half",
    "leaves out",
    SAMPLER.format(body="pass", more="", mark="  # here").replace("= size, ", "= size // 2, "),
)
_component(
    "samplers",
    "own_random",
    "gives another order when the same epoch begins again",
    SAMPLER.format(body="import random", more="", mark="  # here").replace("list(range(", "self.mixed(range(")
    + "\n    def mixed(self, indices):\n"
    "        import random; return random.SystemRandom().sample(indices, len(indices))\n",
)
_sampler("no_batches", "not a list of indices", body="yield 3")
_sampler("order", "KeyError: 'length'", body="{}['length']  # here", mark="")

# --- steppers ---------------------------------------------------------------------------------------------------------

STEPPER = """
import lab

class broken(lab.Stepper):{mark}
    \"\"\"A stepper.\"\"\"

    def train_step(self, batch):
        inputs, target = batch
        loss = self.learner.loss(self.learner.model(inputs), target)
        self.backward(loss)
        self.optimizer_step()
        {train}
        return loss.detach()

    def valid_step(self, batch):
        inputs, target = batch
        {valid}
        return self.evaluation(self.learner.model(inputs), target)
"""


def _stepper(name: str, says: str, train: str = "pass", valid: str = "pass", mark: str = "", **rest: object) -> None:
    source = STEPPER.format(train=train, valid=valid, mark=mark)
    _component("steppers", name, says, source, **rest)  # type: ignore[arg-type]


_stepper("no_loss", "not the loss", train="return None", mark="  # here")
_stepper("no_evaluation", "not an Evaluation", valid="return 3.0", mark="  # here")
_stepper("step_raises", "KeyError: 'teacher'", train="{}['teacher']  # here")
_stepper(
    "trains_valid",
    "the validation step changes weights",
    valid="with torch.enable_grad(): self.train_step(batch)",
    mark="  # here",
)
_stepper("valid_raises", "KeyError: 'teacher'", valid="{}['teacher']  # here")
_stepper("step_seeds", "seed of torch", train="torch.manual_seed(3)", has_line=False)

# --- callbacks --------------------------------------------------------------------------------------------------------

CALLBACK = """
import lab

class broken(lab.Callback):{mark}
    \"\"\"A callback.\"\"\"
{body}
"""


def _callback(name: str, says: str, body: str, mark: str = "", **rest: object) -> None:
    _component("callbacks", name, says, CALLBACK.format(body=body, mark=mark), **rest)  # type: ignore[arg-type]


_callback("fit", "ZeroDivisionError", "    def before_fit(self, learner):\n        1 / 0  # here")
_callback("event", "after_epoch", "    def after_epochs(self, learner):\n        pass", mark="  # here")
_callback("self_only", "must take one argument", "    def after_epoch(self):\n        pass", mark="  # here")
_callback(
    "late", "AttributeError", "    def after_epoch(self, learner):\n        learner.nothing()  # here", when="run"
)
_callback(
    "leaves", "SystemExit", "    def after_batch(self, learner):\n        raise SystemExit(4)  # here", when="run"
)
_callback(
    "moves",
    "working folder",
    "    def after_epoch(self, learner):\n        import os; os.chdir('/')  # here",
    when="run",
    check=False,
)
_callback(
    "taken_column",
    "declares the column 'valid_loss'",
    "    metrics = {'valid_loss': True}",
    mark="  # here",
    check=False,
)
_callback(
    "rewrites",
    "changes valid_loss of the history",
    "    def after_epoch(self, learner):\n        learner.history[-1]['valid_loss'] = 0.0",
    mark="  # here",
    when="run",
    check=False,
)
_callback("holds", "a set", "    def state_dict(self):\n        return {'seen': {1, 2}}", mark="  # here")
_callback("loads", "KeyError: 'seen'", "    def load_state_dict(self, state):\n        state['seen']  # here\n"
          "    def state_dict(self):\n        return {'a': 1}")  # fmt: skip

# --- optimizers -------------------------------------------------------------------------------------------------------

_component("optimizers", "no_optimizer", "must be a torch.optim.Optimizer",
           "def broken(param_groups: list, lr: float):  # here\n    '''An optimizer.'''\n"
           "    return object()\n")  # fmt: skip
_component(
    "optimizers",
    "momentum",
    "KeyError: 'momentum'",
    """
class broken(torch.optim.SGD):
    '''An optimizer.'''

    def __init__(self, param_groups: list, lr: float) -> None:
        super().__init__(param_groups, lr)

    def step(self, closure=None):
        self.state['momentum']['momentum']  # here
""",
)

_component(
    "optimizers",
    "own_rate",
    "trains with the learning rate 0.5, not with the",
    """
class broken(torch.optim.SGD):  # here
    '''An optimizer.'''

    def __init__(self, param_groups: list, lr: float) -> None:
        super().__init__([weight for group in param_groups for weight in group['params']], 0.5)
""",
    check=False,
)

# --- metrics ----------------------------------------------------------------------------------------------------------

METRIC = """
class broken:{mark}
    \"\"\"A metric.\"\"\"

    {direction}

    def reset(self) -> None:
        self.total = 0.0

    def update(self, output, target) -> None:
        {update}
        self.total += float(output.sum())

    def compute(self):
        {compute}
        return self.total
"""


def _metric(
    name: str, says: str, update: str = "pass", compute: str = "pass", direction: str = "higher_is_better = True",
    mark: str = "", **rest: object,
) -> None:  # fmt: skip
    source = METRIC.format(update=update, compute=compute, direction=direction, mark=mark)
    _component("metrics", name, says, source, **rest)  # type: ignore[arg-type]


_metric("direction", "higher_is_better", direction="pass", mark="  # here")
_metric("update", "IndexError: index 75", update="output[75]  # here")
_metric("compute", "ZeroDivisionError", compute="1 / 0  # here")
_metric("adds", "changes the output", update="output.add_(1)", mark="  # here", check=False)
_component(
    "metrics",
    "remembers",
    "after a reset, and",
    METRIC.format(update="pass", compute="pass", direction="higher_is_better = True", mark="  # here").replace(
        "self.total = 0.0", "self.total = getattr(self, 'total', 0.0)"
    ),
)
_metric("listed", "one number", compute="return [1.0]", mark="  # here")
_metric("text", "one number", compute="return '0.5'", mark="  # here")

# --- datasets ---------------------------------------------------------------------------------------------------------

DATASET = """
import lab
from torch.utils.data import TensorDataset

class Split(TensorDataset):
    def __getitem__(self, index):
        {item}
        return super().__getitem__(index)

def broken() -> lab.Data:{mark}
    \"\"\"A dataset.\"\"\"
    {body}
    inputs, target = torch.arange(48.0).reshape(24, 2) / 48, torch.arange(24) % 2
    return Facts(Split(inputs, target), Split(inputs, target), fingerprint="broken")

import attrs

@attrs.define(eq=False, kw_only=True)
class Facts(lab.Data):
    input_size: int = 2
    output_size: int = 2
"""


def _dataset(name: str, says: str, body: str = "pass", item: str = "pass", mark: str = "", **rest: object) -> None:
    source = DATASET.format(body=body, item=item, mark=mark).replace("-> lab.Data", "-> Facts")
    _component("datasets", name, says, source, **rest)  # type: ignore[arg-type]


_dataset("column", "could not convert string to float: 'eight'", body="float('eight')  # here")
_dataset("no_data", "must give a Data", body="return [1, 2]", mark="  # here")
_dataset("item", "KeyError: 'row'", item="{}['row']  # here")
_dataset(
    "labels",
    "Target 5 is out of bounds",
    item="return self.tensors[0][index], self.tensors[1][index] + 5",
    has_line=False,
)
_dataset("data_seed", "seed of torch", body="torch.manual_seed(1)", has_line=False)

# --- executors, searchers, tasks --------------------------------------------------------------------------------------

EXECUTOR = """
class broken:{mark}
    \"\"\"An executor.\"\"\"

    def submit(self, runs, listener, stop, *, fresh):
        {body}
"""


def _executor(name: str, says: str, body: str, mark: str = "", **rest: object) -> None:
    source = EXECUTOR.format(body=body, mark=mark)
    _component("executors", name, says, source, when="run", **rest)  # type: ignore[arg-type]


_executor("loses", "gave no record of", "yield from ()", mark="  # here")
_executor(
    "twice",
    "yields the run of arm 'base', seed 0, twice",
    "for run in runs:\n            record = run.execute(listener, stop, fresh=fresh)\n"
    "            yield run, record\n            yield run, record",
    mark="  # here",
)
_executor(
    "no_pair",
    "submit yields Run, no pair (run, record)",
    "for run in runs:\n            run.execute(listener, stop, fresh=fresh)\n            yield run",
    mark="  # here",
)
_executor(
    "other_record",
    "with the record of another run",
    "import attrs\n        for run in runs:\n"
    "            yield run, attrs.evolve(run.execute(listener, stop, fresh=fresh), key='0' * 20)",
    mark="  # here",
)
_executor("no_iterator", "submit returns NoneType, no iterator", "pass", mark="  # here")
_component(
    "executors",
    "no_submit",
    "has no method `submit`",
    "class broken:  # here\n    '''An executor.'''\n",
    when="run",
)
_component(
    "executors",
    "submit_of_two",
    "cannot be called as submit(runs, listener, stop, fresh=…)",
    "class broken:\n    '''An executor.'''\n\n    def submit(self, runs, listener):  # here\n        return []\n",
    when="run",
)
_executor("fails", "ConnectionError: no cluster", "raise ConnectionError('no cluster')  # here")

SEARCHER = """
class broken:{mark}
    \"\"\"A searcher.\"\"\"

    def propose(self, space, seen, count, seed):
        {body}
"""
_component("searchers", "search_raises", "ZeroDivisionError",
           SEARCHER.format(body="1 / 0  # here", mark=""), when="run")  # fmt: skip
_component("searchers", "outside", "", SEARCHER.format(body="return [{'lr': -1.0}] * count", mark="  # here"),
           when="run")  # fmt: skip
_component("tasks", "task_text", "", "def broken(*, run, width: int = 1):  # here\n    '''A task.'''\n"
           "    return {'valid_loss': 'low'}\n", when="run")  # fmt: skip
_component("tasks", "task_raises", "KeyError: 'fold'", "def broken(*, run, width: int = 1):\n    '''A task.'''\n"
           "    {}['fold']  # here\n", when="run")  # fmt: skip

# --- hooks ------------------------------------------------------------------------------------------------------------


def _later(name: str, says: str, hook: str, body: str, **rest: bool) -> None:
    _plugin(name, says, f"\n@hookimpl\ndef {hook}:\n    {body}\n", when="hook", **rest)


_later("section", "ZeroDivisionError", "lab_report_sections(study, runs)", "1 / 0  # here")
_later("words", "text of a section must be text, got 3",
       "lab_report_sections(study, runs)", "from lab import Section; return [Section('N', 3)]  # here")  # fmt: skip
_later("lines", "must return a list of str, not of int", "lab_study_finished(study, runs)", "return 5", has_line=False)
_later("started", "ZeroDivisionError", "lab_study_started(study, runs)", "1 / 0  # here")
_later("run_started", "ZeroDivisionError", "lab_run_started(run)", "1 / 0  # here")
_later("run_finished", "ZeroDivisionError", "lab_run_finished(run, result)", "1 / 0  # here")
_later("finished", "ZeroDivisionError", "lab_study_finished(study, runs)", "1 / 0  # here")
_later("commands", "must return a dictionary", "lab_commands()", "return 3", has_line=False)
