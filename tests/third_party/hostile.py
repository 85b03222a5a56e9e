"""Hostile plugins: each tries to change the numbers of runs that do not use it."""

from __future__ import annotations

__all__ = ["HOSTILE", "REFUSED", "TOLD"]

HEAD = "from lab import hookimpl\n"


def _hook(signature: str, *lines: str) -> str:
    return "\n".join([HEAD, "@hookimpl", f"def {signature}:", *(f"    {line}" for line in lines), ""])


REFUSED = {
    "dtype": "import torch\ntorch.set_default_dtype(torch.float64)\n",
    "threads": "import torch\ntorch.set_num_threads(torch.get_num_threads() + 2)\n",
    "deterministic": "import torch\ntorch.use_deterministic_algorithms(True)\n",
    "no_grad": "import torch\ntorch.set_grad_enabled(False)\n",
    "relu": "import torch\ntorch.sigmoid = torch.tanh\n",
    "linear": "from torch.nn import functional\nfunctional.linear = lambda x, w, b=None: x @ w.T\n",
    "layer": "from torch import nn\n"
    "nn.LSTM.reset_parameters = lambda self: [w.data.fill_(0.1) for w in self.parameters()]\n",
    "defaults": "from torch.nn import functional\nfunctional.dropout.__defaults__ = (0.9, True, False)\n",
    "module": "import sys, types, torch\nsys.modules['torch.nn.functional'] = types.ModuleType('fake')\n",
    "initial": "from torch.nn import init\n"
    "init.uniform_ = init.kaiming_uniform_ = lambda t, *a, **o: t.data.fill_(0.05)\n",
    "chdir": "import os\nos.chdir('/')\n",
    "environment": "import os\nos.environ['OMP_NUM_THREADS'] = '7'\nos.environ['LAB_DATA'] = '/nowhere'\n",
    "sorted": "import builtins\nplain = sorted\nbuiltins.sorted = lambda *a, **o: plain(*a, **o)[::-1]\n",
    "fsum": "import math\nmath.fsum = lambda numbers: 0.0\n",
    "json": "import json\nplain = json.dumps\njson.dumps = lambda *a, **o: plain(*a, **o) + ' '\n",
    "hash": "import hashlib\nhashlib.sha256 = hashlib.sha1\n",
    "loop": "import lab.training.loop as loop\nplain = loop.fit\n"
    "def fit(training):\n    training.set_lr(9.0)\n    plain(training)\nloop.fit = fit\n",
    "learner": "from lab import Learner\nplain = Learner.resume\n"
    "def resume(self, epochs, *a, **o):\n    return plain(self, 1, *a, **o)\nLearner.resume = resume\n",
    "streams": "from lab.training.rng import Streams\nStreams.seed = lambda self, name: 7\n",
    "adam": _hook("lab_optimizers()", "import torch", "return {'adam': torch.optim.SGD}"),
    "preset": "from lab import preset\n" + _hook("lab_samplers()", "return {'shuffle': preset('sequential')}"),
    "registry": HEAD
    + "from lab import RegistrySpec\n"
    + _hook("lab_registries()", "return [RegistrySpec('losses', 'l')]"),
}
"""Plugins that are refused while they are loaded."""

TOLD = {
    "study_dtype": _hook("lab_study_started(study, runs)", "import torch", "torch.set_default_dtype(torch.float64)"),
    "study_recipe": _hook(
        "lab_study_started(study, runs)", "for run in runs:", "    run.experiment.values['lr'] = 9.0"
    ),
    "run_patch": _hook("lab_run_started(run)", "import torch", "torch.tanh = torch.sigmoid"),
    "run_grad": _hook("lab_run_started(run)", "import torch", "torch.set_grad_enabled(False)"),
    "finished_patch": _hook("lab_run_finished(run, result)", "import torch", "torch.tanh = torch.sigmoid"),
    "methods": _hook("lab_learner_methods()", "return {'fit': 'nowhere:fit', 'resume': 'nowhere:resume'}"),
}
"""Plugins whose hooks are told of when they are called."""

HARMLESS = {
    "commands": _hook("lab_commands()", "return {'run': 'nowhere:run'}"),
    "seeds": "import random\nimport torch\nimport numpy\ntorch.manual_seed(3)\nrandom.seed(3)\nnumpy.random.seed(3)\n",
    "run_seeds": _hook("lab_run_started(run)", "import torch", "torch.manual_seed(5)", "torch.rand(7)"),
    "study_seeds": _hook("lab_study_started(study, runs)", "import random", "random.seed(5)"),
    "data": _hook(
        "lab_run_started(run)", "for pair in run.data.train:", "    for part in pair:", "        part.zero_()"
    ),
    "former": _hook("lab_former_names()", "return {'adam': 'sgd', 'seq2seq_rnn': 'mlp'}"),
    "rounds": _hook("lab_rounds()", "return {'more': 'nowhere:more'}"),
    "results": _hook("lab_run_finished(run, result)", "result.metrics['valid_loss'] = 0.0"),
}
"""Plugins whose doing reaches no number."""

HOSTILE = {**REFUSED, **TOLD, **HARMLESS}
