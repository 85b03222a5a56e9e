"""``lab by-example``: where an arm differs from the base, example by example."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import runs_option, study_argument, variant_option

__all__ = ["by_example"]


@click.command(
    epilog="""Examples:

\b
  lab by-example bidir_vs_attn
  lab by-example bidir_vs_attn --arm additive --slices valid.csv --top 20
  lab by-example until_decided --score accuracy
"""
)
@study_argument
@variant_option
@runs_option
@click.option(
    "--score",
    default="",
    metavar="NAME",
    help="loss, a metric that is a mean over examples, or one of the corpus such as bleu.",
)
@click.option("--arm", "arms", multiple=True, metavar="NAME", help="Only this arm; may be given several times.")
@click.option(
    "--slices",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="CSV with one row per validation example, in their order: differences by the values of every column.",
)
@click.option(
    "--top",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    metavar="N",
    help="Examples to show that changed most.",
)
@click.pass_obj
def by_example(
    session: Session,
    study: str,
    variant: str,
    folder: Path,
    score: str,
    arms: tuple[str, ...],
    slices: Path | None,
    top: int,
) -> None:
    """Compare the arms of STUDY example by example: what holds for other examples too, and where.

    Runs keep the scores of their validation examples; those that did not (many examples, a GPU) are scored now, from
    their weights in the store. The interval "with other seeds and other examples" crosses both: it is about the
    difference in the population that the validation examples were drawn from. For BLEU and chrF, corpora are resampled
    by their sentences.
    """
    from lab.cli.options import report_variants
    from lab.errors import LabError, UnknownNameError
    from lab.study.record import read_study
    from lab.study.store import Store
    from lab_statistics.by_example import (
        complete_scores,
        data_of,
        describe_arm,
        family_of,
        read_columns,
        score_to_compare,
        target_columns,
    )
    from lab_statistics.corpus import scores_of_sums

    store = Store(folder)
    record = read_study(store, study, variant)
    results = record.results(store)
    known = [name for name in results.leading_arms() if results.base_of(name) != name]
    for name in arms:
        if name in results.leading_arms() and results.base_of(name) == name:
            raise LabError(f"'{name}' is what arms are compared with", hint=f"arms: {', '.join(known)}")
        if name not in known:
            raise UnknownNameError.among("arm", name, known, hint=f"arms: {', '.join(known)}")
    catalog = session.catalog()
    data = complete_scores(results, store, catalog)
    score = score_to_compare(results, score)
    if slices is not None:
        columns = read_columns(slices, results)
    else:
        columns = target_columns(data or data_of(results, store, catalog))
    # arms that are not shown count too, so that an arm has the same intervals with and without --arm
    family = family_of(results, score)
    of_sums = scores_of_sums([score], catalog).get(score)
    texts = [
        describe_arm(results, name, score, columns=columns, top=top, family=family, score_of_sums=of_sums)
        for name in arms or known
    ]
    click.echo("\n\n".join(texts))
    report_variants(record)
    told = {
        "results": results,
        "record": record,
        "metric": results.study.compare,
        "how": [f"{score} example by example"],
    }
    for _, lines in catalog.gather("lab_comparison_shown", str, **told):
        for line in lines:
            click.echo(f"note: {line}", err=True)
