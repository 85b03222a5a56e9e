"""``lab check-claim``: a gate for scripts, closed unless a comparison shows what is claimed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from lab.cli.completion import complete_metric
from lab.cli.main import Session
from lab.cli.options import report_damage, report_variants, runs_option, variant_option
from lab.errors import LabError, UnknownNameError
from lab_report.outside import outside_options, source_argument

if TYPE_CHECKING:
    from lab.study.results import Results

__all__ = ["check_claim"]

RELATIONS = ("better", "worse", "different")
SHOWN, NOT_SHOWN = 0, 1


@attrs.frozen
class Claim:
    """A claim about an arm.

    Attributes:
        arm: the arm.
        relation: ``better``, ``worse`` or ``different``.
        base: the arm that it is compared with; empty for that of the study.
    """

    arm: str
    relation: str
    base: str


@click.command(
    name="check-claim",
    epilog="""Examples:

\b
  lab check-claim bidir_vs_attn "additive better"
  lab check-claim bidir_vs_attn "no dropout worse than additive"
  lab check-claim results.csv "vit better than resnet" --arm model --metric accuracy --higher-is-better
  lab check-claim bidir_vs_attn "additive better" --format json
""",
)
@source_argument
@click.argument("claim")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A sentence, or a document of the schema lab.claim/1.",
)
@variant_option
@click.option(
    "--metric",
    default="",
    metavar="NAME",
    shell_complete=complete_metric,
    help="The metric to compare; the study's own unless given.",
)
@outside_options
@runs_option
@click.pass_context
def check_claim(
    ctx: click.Context, study: str, claim: str, layout: str, variant: str, metric: str, folder: Path, **options: Any
) -> None:
    """Exit with 0 if a comparison shows CLAIM, with 1 if it does not, with 2 if the question is wrong.

    CLAIM is "ARM better", "ARM worse" or "ARM different", with "than OTHER" for another arm than the base. What is not
    shown is not refuted: a difference may be smaller than these seeds could show. P-values are corrected for the number
    of arms, as in the table of lab compare. A file gives results from elsewhere, with the options of lab compare.
    """
    from lab_report.outside import based, comparison_shown, source_of

    source = source_of(study, folder, variant, metric, options)
    results = source.results
    metric = metric or results.study.compare
    asked = parse_claim(claim, [arm.name for arm in results.arms])
    results = based(results, asked.base or None)
    row = _row(results, asked, metric)
    assert row.comparison is not None
    is_better = row.comparison.is_better
    holds = is_better is not None if asked.relation == "different" else is_better is (asked.relation == "better")
    other = row.base
    if layout == "json":
        from lab.cli.documents import dump
        from lab.report.documents import claim_document

        document = claim_document(
            claim, row, other, asked.relation, holds=holds, metric=metric, direction=results.direction(metric)
        )
        click.echo(dump(document))
    else:
        click.echo(
            f"{'shown' if holds else 'not shown'}: {row.name}, {metric} against {other}: {row.comparison.verdict}"
        )
    if source.record is not None:
        report_variants(source.record)
        for line in comparison_shown(ctx.find_object(Session), source, results, metric):
            click.echo(f"note: {line}", err=True)
    report_damage(results)
    ctx.exit(SHOWN if holds else NOT_SHOWN)


def _row(results: Results, asked: Claim, metric: str) -> Any:
    if asked.arm == results.arms[0].name:
        hint = "than OTHER names another arm: 'A better than B'"
        raise LabError(f"'{asked.arm}' is the arm that the others are compared with", hint=hint)
    return next(row for row in results.compare(metric) if row.name == asked.arm)


def parse_claim(claim: str, arms: Sequence[str]) -> Claim:
    """Return what a claim says, with the names of arms as they are known.

    Raises:
        LabError: it is not of the form ``ARM better [than OTHER]``.
        UnknownNameError: there is no such arm; close matches are given.
    """
    form = re.compile(rf"(.+?)\s+(?:is\s+)?({'|'.join(RELATIONS)})(?:\s+(?:than|from)\s+(.+))?", re.DOTALL)
    found = form.fullmatch(claim.strip())
    if found is None:
        raise LabError(
            f"cannot read the claim '{claim}'",
            hint="ARM better, ARM worse or ARM different; with another base: ARM better than OTHER",
        )
    # Names of arms may hold these words themselves.
    for match in re.finditer(rf"\s+(?:is\s+)?({'|'.join(RELATIONS)})(?=\s|$)", claim):
        rest = re.fullmatch(r"\s+(?:than|from)\s+(.+)", claim[match.end() :], re.DOTALL)
        arm, base = claim[: match.start()].strip(), rest[1].strip() if rest else ""
        if arm in arms and (base in arms or not claim[match.end() :].strip()):
            return Claim(arm, match[1], base)
    for name in filter(None, (found[1].strip(), (found[3] or "").strip())):
        if name not in arms:
            raise UnknownNameError.among("arm", name, arms, hint=f"arms: {', '.join(arms)}")
    return Claim(found[1].strip(), found[2], (found[3] or "").strip())
