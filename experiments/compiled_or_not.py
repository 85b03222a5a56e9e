"""Is a small network faster without Python: scripted, traced, or exported?

*Dive into Deep Learning*, section 12.1 of the second Chinese edition: a net of 512, 256, 128 and 2 units, 1,000 calls
with one example. The book compares the net as it is with TorchScript, and prints 2.1 s and 4.1 s, and 651 KiB for the
scripted net's file. Every variant gives the same outputs; the time includes no compilation, and the best of five rounds
counts. Times of one machine compare with each other alone: run it with nothing else, one seed after the other.
"""

import io
import time
from typing import Literal

import safetensors.torch
import torch
from pydantic import PositiveInt
from torch import nn

import lab
from lab import Study, use

Form = Literal["plain", "scripted", "traced", "exported"]


def make_net() -> nn.Module:
    """Return the net of the book, in evaluation mode."""
    return nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 2)).eval()


def as_form(net: nn.Module, form: Form, example: torch.Tensor) -> nn.Module:
    """Return the net in another form, for one example."""
    if form == "scripted":
        return torch.jit.script(net)
    if form == "traced":
        return torch.jit.trace(net, example)
    if form == "exported":
        return torch.export.export(net, (example,)).module()
    return net


def size_of_file(net: nn.Module, form: Form, example: torch.Tensor) -> int:
    """Return the bytes of the net's file in a form; of the plain net, of its weights."""
    if form == "plain":
        return len(safetensors.torch.save(net.state_dict()))
    file = io.BytesIO()
    if form == "exported":
        torch.export.save(torch.export.export(net, (example,)), file)
    else:
        torch.jit.save(as_form(net, form, example), file)
    return len(file.getvalue())


def measure(
    *, form: Form = "plain", calls: PositiveInt = 1000, rounds: PositiveInt = 5, run: lab.TaskRun
) -> dict[str, float]:
    """Time the calls, compare the outputs with those of the net as it is, and weigh what is saved."""
    torch.manual_seed(run.seed)
    net, example = make_net(), torch.randn(1, 512)
    with torch.no_grad():
        ready = as_form(net, form, example)
        # the first calls compile
        for _ in range(20):
            found = ready(example)
        seconds = []
        for number in range(rounds):
            started = time.perf_counter()
            for _ in range(calls):
                ready(example)
            seconds.append(time.perf_counter() - started)
            run.log(epoch=number, seconds_of_calls=seconds[-1])
        difference = float((found - net(example)).abs().max())
        kibibytes = size_of_file(net, form, example) / 1024
    return {"seconds_of_calls": min(seconds), "difference": difference, "kibibytes": kibibytes}


study = Study(use(measure, form="plain"), seeds=3, compare="seconds_of_calls", higher_is_better=False).swap(
    "form", ["scripted", "traced", "exported"]
)
