"""``lab plan``: how many seeds a study needs, before they are trained."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.cli.main import Session
from lab.cli.options import FiniteNumber, runs_option

if TYPE_CHECKING:
    from lab.study.results import Results
    from lab.study.study import Study

__all__ = ["plan"]


@click.command(
    epilog="""Examples:

\b
  lab plan experiments/bidir_vs_attn.py --detect 0.05
  lab plan experiments/bidir_vs_attn.py --detect 0.05 --power 0.9
  lab plan experiments/bidir_vs_attn.py --detect 0.05 --spread 0.04
"""
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--detect",
    type=FiniteNumber(min=0, min_open=True),
    required=True,
    metavar="X",
    help="The smallest true difference in the primary metric that the study should show.",
)
@click.option(
    "--power",
    type=FiniteNumber(0.05, 0.999),
    default=0.8,
    show_default=True,
    help="Probability with which it should show it.",
)
@click.option(
    "--spread",
    type=FiniteNumber(min=0, min_open=True),
    default=None,
    metavar="S",
    help="Standard deviation of the paired differences; that of the finished runs unless given.",
)
@runs_option
@click.pass_obj
def plan(session: Session, file: Path, detect: float, power: float, spread: float | None, folder: Path) -> None:
    """Show how many seeds the study in FILE needs to detect a difference, and the hours that they take.

    The spread of the differences between arms is that of the runs that are finished by now, a pilot of three seeds or
    more; or give it. A pilot of few seeds knows the spread badly, so the seeds for its upper limit (which holds in 80 %
    of pilots) are shown too. All arms together are wrong in 5 %, as in lab compare. Arms that tune, match or retrain
    add count with the others, and the trials of tune cost time.
    """
    from lab.study.load import load_study

    catalog = session.catalog()
    study = load_study(file, catalog)
    elsewhere = "" if folder == Path("runs") else f" --runs {shlex.quote(str(folder))}"
    click.echo("\n".join(plan_lines(study, _pilot(study, folder), detect, power, spread, elsewhere)))


def _pilot(study: Study, folder: Path) -> Results | None:
    """Return the results of the runs that are finished, None if the study was never run."""
    from lab.errors import UnknownNameError
    from lab.study.record import read_study
    from lab.study.store import Store

    store = Store(folder)
    try:
        return read_study(store, study.name).results(store)
    except UnknownNameError:
        return None


def plan_lines(
    study: Study, pilot: Results | None, detect: float, power: float, spread: float | None, elsewhere: str = ""
) -> list[str]:
    """Return the lines of ``lab plan``.

    Args:
        study: as its file has it; arms that its rules will add are planned too.
        pilot: what is finished by now; None if nothing is.
        detect: the difference.
        power: probability of showing it.
        spread: of the paired differences; that of the pilot if None.
        elsewhere: option of the folder of runs, for the commands that are shown.

    Raises:
        LabError: neither a spread is given nor a pilot of at least three seeds is finished, or nothing is compared.
    """
    from lab.errors import LabError
    from lab.report.live import describe_seconds
    from lab.study.compare import MIN_SEEDS
    from lab_statistics.planning import planned, seconds_of
    from lab_statistics.power import pooled_spread, upper_spread

    file = shlex.quote(study.file) if study.file else "FILE"
    plan = planned(study, pilot)
    found = {name: d for name, d in plan.differences().items() if len(d) >= MIN_SEEDS}
    if spread is None and not found:
        raise LabError(
            f"there is no pilot of '{study.name}' with at least {MIN_SEEDS} finished seeds of an arm and the base",
            hint=f"train one: lab run {file} --seeds {MIN_SEEDS}{elsewhere}, or give --spread",
        )
    lines = [
        f"{study.name}: {plan.count}, {study.compare}; to detect {detect:g} with {power:.0%} probability, "
        f"each at level {plan.level:.2g}{plan.remark}"
    ]
    needed: list[int | None] = []
    if spread is not None:
        needed = [plan.seeds_for(detect, spread, power)]
        lines.append(f"  spread {spread:g} (given): {_seeds(needed[0])}")
    else:
        for name, d in found.items():
            own, freedom = pooled_spread([d])
            few, many = (plan.seeds_for(detect, value, power) for value in (own, upper_spread(own, freedom)))
            needed.append(few)
            lines.append(f"  {name}: spread {own:.3g} over {len(d)} seeds: {_seeds(few)}, to be safe {_number(many)}")
        own, freedom = pooled_spread(list(found.values()))
        if len(found) > 1:
            together = [plan.seeds_for(detect, value, power) for value in (own, upper_spread(own, freedom))]
            lines.append(
                f"  all arms together: spread {own:.3g}: {_seeds(together[0])}, to be safe {_number(together[1])}"
            )
    most = None if None in needed else max(count for count in needed if count is not None)
    seconds = seconds_of(plan)
    if most is not None and seconds is not None:
        per_seed, once = seconds
        extra = f", besides {describe_seconds(once)} once" if once else ""
        total = per_seed * most + once
        lines.append(
            f"  one seed of all arms{plan.trials} takes about {describe_seconds(per_seed)}{extra}; {most} seeds "
            f"{describe_seconds(total)} ({total / 3600:.2g} hours)"
        )
    elif seconds is None:
        lines.append("  the time of a run is not known before one is finished")
    lines.append(f"  then: {plan.advice(str(most) if most is not None else 'N', file, elsewhere)}")
    return lines


def _seeds(count: int | None) -> str:
    return "more seeds than can be planned" if count is None else f"{count} seeds"


def _number(count: int | None) -> str:
    return "more than can be planned" if count is None else str(count)
