"""The command ``lab find-lr``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from lab.cli.completion import complete_arm, complete_path
from lab.cli.main import Session
from lab.cli.options import SEED, FiniteNumber
from lab.errors import LabError, RunFailed, describe_error, notes_of

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.run import Run
    from lab.study.study import Study
    from lab.training.learner import Learner
    from lab.training.tools.lr_finder import LearningRates

__all__ = ["find_lr"]

BASE = "base"
RATE = FiniteNumber(min=0, min_open=True)


@click.command(
    "find-lr",
    epilog="""Examples:

\b
  lab find-lr experiments/bidir_vs_attn.py
  lab find-lr experiments/bidir_vs_attn.py --arm additive -o sweep.png
""",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--arm", default="base", show_default=True, shell_complete=complete_arm, help="The arm to sweep.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=complete_path,
    help="Change the base: batch_size=32.",
)
@click.option("--start", type=RATE, default=1e-7, show_default=True, help="The first learning rate.")
@click.option("--end", type=RATE, default=10.0, show_default=True, help="The last learning rate.")
@click.option(
    "--steps", type=click.IntRange(10, 100_000), default=100, show_default=True, help="Training steps of the sweep."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of weights and batches.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the plot: sweep.png.")
@click.pass_obj
def find_lr(
    session: Session,
    file: Path,
    arm: str,
    assignments: tuple[str, ...],
    start: float,
    end: float,
    steps: int,
    seed: int,
    output: Path | None,
) -> None:
    """Run a learning-rate range test for an arm of the study in FILE.

    The learning rate increases during a short training that is discarded. One rate is suggested, with its reason: the
    middle of the longest stretch over which the smoothed loss falls.
    """
    from lab.study.experiment import Task
    from lab.study.load import load_study, override
    from lab_basics.lines import save_figure

    catalog = session.catalog()
    study = override(load_study(file, catalog), assignments, catalog, where=str(file))
    if isinstance(study.base, Task):
        raise LabError("a training function chooses its learning rate itself", where=str(file))
    run = _checked_run(study.choose(arm), catalog, seed, str(file))
    found = _sweep(_learner_of(run), start, end, steps)
    click.echo(_drawing(found, f"{study.name}, arm {run.arm}"))
    click.echo(found)
    click.echo(f"try it:  lab run {file} --set lr={found.suggestion:.1e}")
    if output is not None:
        save_figure(found.plot(), output)
        click.echo(f"picture: {output}")


def _checked_run(study: Study, catalog: Catalog, seed: int, where: str) -> Run:
    """Return a run of the arm, after the checks that every arm passes before it is trained.

    Raises:
        StudyError: all problems of the base and of the arm.
    """
    import tempfile

    from lab.study.preflight import plan_study
    from lab.study.store import Store
    from lab.study.workspace import Workspace

    # A store of runs, in which none is made.
    with tempfile.TemporaryDirectory(prefix="lab-find-lr-") as folder:
        plan = plan_study(attrs.evolve(study, seeds=[seed]), Workspace(catalog, Store(folder)), where=where)
    if len(plan.arms) > 2:
        raise LabError("several arms match; a sweep needs one", hint="--arm NAME")
    return next((run for run in plan.runs if run.arm != BASE), plan.runs[0])


def _learner_of(run: Run) -> Learner:
    """Return the learner of a run at its start, with the length of the run, which schedules ask for."""
    learner = run.learner()
    learner.expect(run.experiment.values["epochs"])
    return learner


def _sweep(learner: Learner, start: float, end: float, steps: int) -> LearningRates:
    try:
        return learner.find_lr(start=start, end=end, steps=steps)
    except (LabError, KeyboardInterrupt):
        raise
    except BaseException as error:
        # The checks see the first batches only, so a component may still fail later.
        where = "\n".join([describe_error(error), *notes_of(error)])
        raise RunFailed("a component failed in the sweep", where=where) from error


def _drawing(found: LearningRates, title: str) -> str:
    from lab_basics.lines import draw_lines

    return draw_lines(
        {"smoothed loss": (found.rates, found.losses)},
        title=title,
        x="learning rate",
        log_x=True,
        marks={"suggestion": found.suggestion},
        y_range=found.shown_losses(),
    )
