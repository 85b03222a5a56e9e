"""Charts of a report as Vega-Lite specifications, and the script that draws them offline.

Vega-Lite and Vega (``vega/vega.js``, 900 kB, the work of others under their own licenses) become part of the page.
Colors are CSS variables, which the style sheet sets for light and dark screens and for print.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from lab.errors import StoreError
from lab.report.cells import arm_color, arm_mark, is_judged
from lab.study.compare import LEVEL, MIN_SEEDS, summarize
from lab.study.results import ArmRow
from lab.study.store import RunRecord

__all__ = ["curves_chart", "difference_chart", "drawing_code", "figures_of", "histories_of", "scores_chart"]


MAX_EPOCHS = 200
"""Longer histories are thinned to every n-th epoch."""
STATES = {True: "better", False: "worse", None: "open"}

JOINED = " + "
"""Between the parts of the name of an arm that differs in several things."""
LINE_HEIGHT = 15
"""Of a label, in pixels."""

SHAPES = ("circle", "square", "triangle-up", "diamond")
DASHES = ([1, 0], [8, 4], [2, 3], [8, 3, 2, 3])
"""Points and lines of arms by their mark."""

Chart = dict[str, Any]
Histories = Sequence[tuple[RunRecord, Sequence[Mapping[str, float]]]]
"""Runs with their histories, one row per epoch."""

_STYLE = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelLimit": 150,
        "labelOverlap": True,
    },
}


# --- differences ------------------------------------------------------------------------------------------------------


def difference_chart(
    rows: Sequence[ArmRow], per_seed: Mapping[str, Sequence[float]], metric: str, margin: float = 0.0
) -> Chart | None:
    """Return a chart of every arm's difference from the base, with interval and one tick per seed; None if empty.

    Args:
        rows: the arms of a comparison.
        per_seed: arm → differences of its seeds.
        metric: the metric that is compared.
        margin: the smallest difference that matters, drawn as a band around zero; 0 draws none.
    """
    compared = [
        row.comparison for row in rows if row.comparison is not None and math.isfinite(row.comparison.difference)
    ]
    if not compared:
        return None
    arms = [
        {
            "arm": c.arm,
            "difference": _plain(c.difference),
            "low": _plain(c.low),
            "high": _plain(c.high),
            "verdict": c.verdict,
            "state": STATES[c.is_better],
        }
        for c in compared
    ]
    drawn = {c.arm for c in compared}
    ticks = [
        {"arm": name, "difference": _plain(value)}
        for name, values in per_seed.items()
        for value in values
        if name in drawn
    ]
    # the description is the chart for a screen reader, so it must hold the numbers
    spoken = "; ".join(f"{c.arm}: {c.difference:+.3g}{_spoken_interval(c.low, c.high)}, {c.verdict}" for c in compared)
    band = f" Differences within ± {margin:g} do not matter." if margin else ""
    layers = [*([_margin_layer(margin)] if margin else []), *_difference_layers(arms, ticks)]
    return _chart(
        f"Difference of {metric} from the base, with 95 % intervals.{band} {spoken}.",
        height=_height([arm["arm"] for arm in arms], 34),
        layer=[layer for layer in layers if layer["data"]["values"]],
    )


def _rows(arms: Sequence[str]) -> Chart:
    """Return the encoding of a row per arm, in this order; the parts of a combination stand below each other."""
    # sorted explicitly: Vega-Lite orders nominal fields alphabetically
    axis = {"labelExpr": f"split(datum.label, '{JOINED}')"}
    return {"field": "arm", "type": "nominal", "sort": [*arms], "title": None, "axis": axis}


def _height(arms: Sequence[str], least: int) -> int:
    """Return the height of a chart with a row per arm, at least so many pixels each."""
    lines = max((arm.count(JOINED) + 1 for arm in arms), default=1)
    return len(arms) * max(least, LINE_HEIGHT * lines + 4)


def _margin_layer(margin: float) -> Chart:
    """Return the region of practical equivalence: a band over the whole height."""
    return {
        "data": {"values": [{"from": -margin, "to": margin}]},
        "mark": {"type": "rect", "color": "var(--soft)", "opacity": 0.18, "aria": False},
        "encoding": {"x": {"field": "from", "type": "quantitative"}, "x2": {"field": "to"}},
    }


def _difference_layers(arms: list[Chart], ticks: list[Chart]) -> list[Chart]:
    y = _rows([arm["arm"] for arm in arms])
    x = {"field": "difference", "type": "quantitative", "title": None, "axis": {"tickCount": 6}}
    color = {
        "field": "state",
        "type": "nominal",
        "scale": {
            "domain": ["better", "worse", "open"],
            "range": ["var(--better)", "var(--worse)", "var(--soft)"],
        },
        "legend": None,
    }
    tooltip = [{"field": name} for name in ("arm", "difference", "low", "high", "verdict")]
    return [
        {
            "data": {"values": [{"zero": 0}]},
            "mark": {"type": "rule", "color": "var(--ink)", "strokeDash": [3, 3]},
            "encoding": {"x": {"field": "zero", "type": "quantitative"}},
        },
        {
            "data": {"values": ticks},
            # aria: False, since a screen reader would otherwise read every seed's tick
            "mark": {"type": "tick", "color": "var(--soft)", "opacity": 0.55, "size": 14, "aria": False},
            "encoding": {"y": y, "x": x},
        },
        {
            "data": {"values": [arm for arm in arms if arm["low"] is not None]},
            "mark": {"type": "rule", "strokeWidth": 3, "strokeCap": "round"},
            "encoding": {
                "y": y,
                "x": {"field": "low", "type": "quantitative"},
                "x2": {"field": "high"},
                "color": color,
            },
        },
        {
            "data": {"values": arms},
            "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
            "encoding": {"y": y, "x": x, "color": color, "tooltip": tooltip},
        },
    ]


def scores_chart(scores: Mapping[str, Sequence[float]], metric: str, overlap: float = 0.0) -> Chart | None:
    """Return a chart with every run as a point and, beside the runs of each arm, their mean with its 95 % interval.

    The interval is Student's, of the mean of one arm. It says nothing of differences, which are paired. A chart of bars
    would hide the runs and begin at a zero that most metrics do not have.

    Args:
        scores: arm → scores of its finished runs.
        metric: the metric.
        overlap: validation examples per training example where every run has a split of its own, as in
            ``lab.study.compare.compare_pairs``.
    """
    finite = {arm: [value for value in values if math.isfinite(value)] for arm, values in scores.items()}
    finite = {arm: values for arm, values in finite.items() if values}
    if not finite:
        return None
    points = [{"arm": arm, "score": value} for arm, values in finite.items() for value in values]
    means = [{"arm": arm, **_mean_and_interval(values, overlap)} for arm, values in finite.items()]
    y = _rows(list(finite))
    axis = {"tickCount": 6, "labelExpr": _label("x")}
    x = {"field": "score", "type": "quantitative", "title": None, "axis": axis, "scale": {"zero": False}}
    color = {
        "field": "arm",
        "type": "nominal",
        "scale": {"domain": list(finite), "range": [f"var(--arm-{arm_color(index)})" for index in range(len(finite))]},
        "legend": None,
    }
    spoken = "; ".join(f"{mean['arm']}: {len(finite[mean['arm']])} runs, mean {mean['score']:.4g}" for mean in means)
    return _chart(
        f"{metric} of every run, and the mean of each arm with its 95 % interval. {spoken}.",
        height=_height(list(finite), 40),
        layer=[
            {
                "data": {"values": points},
                "mark": {"type": "point", "size": 50, "opacity": 0.7, "yOffset": -6, "aria": False},
                "encoding": {"y": y, "x": x, "color": color},
            },
            *(
                [
                    {
                        "data": {"values": [mean for mean in means if mean["low"] is not None]},
                        "mark": {"type": "rule", "strokeWidth": 3, "strokeCap": "round", "yOffset": 8},
                        "encoding": {
                            "y": y,
                            "x": {**x, "field": "low"},
                            "x2": {"field": "high"},
                            "color": color,
                        },
                    }
                ]
                if any(mean["low"] is not None for mean in means)
                else []
            ),
            {
                "data": {"values": means},
                "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1, "yOffset": 8},
                "encoding": {
                    "y": y,
                    "x": x,
                    "color": color,
                    "tooltip": [{"field": name} for name in ("arm", "score", "low", "high")],
                },
            },
        ],
    )


def _mean_and_interval(values: Sequence[float], overlap: float) -> dict[str, float | None]:
    """Return the mean of scores with Student's interval; without one for fewer than three."""
    from scipy.special import stdtrit

    summary = summarize(values)
    if summary.n < MIN_SEEDS:
        return {"score": summary.mean, "low": None, "high": None}
    half = float(stdtrit(summary.n - 1, 1 - LEVEL / 2)) * summary.spread * math.sqrt(1 / summary.n + overlap)
    return {"score": summary.mean, "low": _plain(summary.mean - half), "high": _plain(summary.mean + half)}


def _label(channel: str) -> str:
    """Return the expression for the labels of an axis: Vega rounds the only value of one whose values are all equal."""
    return f"domain('{channel}')[0] === domain('{channel}')[1] ? format(datum.value, '.4~g') : datum.label"


def _spoken_interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" (from {low:+.3g} to {high:+.3g})"


# --- learning curves --------------------------------------------------------------------------------------------------


def histories_of(runs: Sequence[RunRecord]) -> Histories:
    """Return every run with its history, read once."""
    return [(run, _history(run)) for run in runs]


def _history(run: RunRecord) -> Sequence[Mapping[str, float]]:
    """Return a run's epochs; none if the file is damaged, as in a run that did not finish."""
    try:
        return run.history()
    except StoreError:
        return []


def figures_of(histories: Histories, first: str = "") -> list[str]:
    """Return the names of columns over epochs, ``first`` first, losses and metrics before times."""
    names = dict.fromkeys(name for _, history in histories for row in history for name in row if name != "epoch")
    return sorted(names, key=lambda name: (name != first, _is_timing(name), not is_judged(name)))


def _is_timing(name: str) -> bool:
    return name.startswith("seconds") or name.endswith("_per_second")


def curves_chart(histories: Histories, arms: Sequence[str], figures: Sequence[str]) -> Chart | None:
    """Return a chart of the learning curves: thin lines per seed, thick means per arm; None without an epoch.

    The page sets two parameters: ``figure`` (``f0``, ``f1`` …, a position in ``figures``) selects the metric that is
    drawn, ``hidden`` lists the arms that are hidden.
    """
    table, epochs = _history_table(histories, figures)
    if not epochs:
        return None
    parse = {"epoch": "number", "seed": "number", **{f"f{index}": "number" for index in range(len(figures))}}
    count = sum(bool(history) for _, history in histories)
    return _chart(
        f"Learning curves of {count} runs in {len(arms)} arms over {epochs} epochs: one thin line for every seed, "
        "a thick one for the mean of each arm. The table below has the same numbers.",
        height=320,
        data={"values": table, "format": {"type": "csv", "parse": parse}},
        params=[
            {"name": "figure", "value": "f0"},
            {"name": "hidden", "value": []},
        ],
        transform=[
            # the metric is chosen by a parameter, so switching redraws the chart without new data
            {"calculate": "datum[figure]", "as": "value"},
            {"filter": "isValid(datum.value) && isFinite(datum.value) && indexof(hidden, datum.arm) < 0"},
        ],
        layer=_curve_layers(arms, epochs),
    )


def _curve_layers(arms: Sequence[str], epochs: int) -> list[Chart]:
    x = {
        "field": "epoch",
        "type": "quantitative",
        "title": "epoch",
        # a few epochs one by one: halves would be rounded, and stand there twice
        "axis": {"grid": False, "format": "d"}
        | ({"values": list(range(1, epochs + 1))} if epochs <= 12 else {"tickMinStep": 1}),
        # not nice: a curve of 11 epochs would get an axis up to 20
        "scale": {"nice": False, "padding": 6},
    }
    # without zero: accuracies between 0.90 and 0.92 would be one flat line
    value = {"type": "quantitative", "title": None, "axis": {"labelExpr": _label("y")}, "scale": {"zero": False}}
    color = {
        "field": "arm",
        "type": "nominal",
        "scale": {"domain": list(arms), "range": [f"var(--arm-{arm_color(index)})" for index in range(len(arms))]},
        "legend": None,
    }
    mean = {"x": x, "y": {**value, "field": "value", "aggregate": "mean"}, "color": color}
    marks = [arm_mark(index) for index in range(len(arms))]
    dashes = _by_arm("strokeDash", arms, [DASHES[mark] for mark in marks])
    shapes = _by_arm("shape", arms, [SHAPES[mark] for mark in marks])
    tooltip = [
        {"field": "arm"},
        {"field": "epoch"},
        {"field": "value", "aggregate": "mean", "title": "mean", "format": ".4~g"},
        {"field": "value", "aggregate": "stdev", "title": "deviation", "format": ".2~g"},
        {"aggregate": "count", "title": "seeds"},
    ]
    return [
        {
            "mark": {"type": "line", "strokeWidth": 1, "opacity": 0.4, "aria": False},
            "encoding": {"x": x, "y": {**value, "field": "value"}, "color": color, "detail": {"field": "seed"}},
        },
        {
            "mark": {"type": "line", "strokeWidth": 3, "strokeJoin": "round", "aria": False},
            "encoding": {**mean, **dashes},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 40 if epochs <= 30 else 16, "opacity": 1},
            "encoding": {**mean, **shapes, "tooltip": tooltip},
        },
    ]


def _by_arm(channel: str, arms: Sequence[str], values: Sequence[Any]) -> Chart:
    """Return the encoding of the arms on a channel; nothing where all have one value."""
    if len({str(value) for value in values}) <= 1:
        return {}
    return {channel: {"field": "arm", "scale": {"domain": [*arms], "range": [*values]}, "legend": None}}


def _history_table(histories: Histories, figures: Sequence[str]) -> tuple[str, int]:
    """Return all histories as CSV, with columns named by position, and the number of epochs, counted from 1."""
    # CSV, since JSON would repeat the names of columns in each of up to 12,000 rows (60 runs of 200 epochs)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "seed", "epoch", *(f"f{index}" for index in range(len(figures)))])
    epochs = 0
    for run, history in histories:
        epochs = max(epochs, len(history))
        for row in thinned(history):
            # columns f0, f1 …: names of metrics may hold dots and brackets, which Vega reads as paths
            writer.writerow([run.arm, run.seed, row["epoch"] + 1, *(_short(row.get(name)) for name in figures)])
    return text.getvalue(), epochs


def thinned(history: Sequence[Mapping[str, float]], most: int = MAX_EPOCHS) -> list[Mapping[str, float]]:
    """Return at most ``most`` epochs of a history, evenly spaced, always with the last.

    >>> [row["epoch"] for row in thinned([{"epoch": n} for n in range(10)], most=4)]
    [0, 3, 6, 9]
    """
    step = max(1, math.ceil((len(history) - 1) / max(1, most - 1)))
    # counted from the end, so that the last epoch, whose scores the tables show, is always drawn
    return [row for index, row in enumerate(history) if (len(history) - 1 - index) % step == 0]


def _short(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


# --- drawing ----------------------------------------------------------------------------------------------------------


def _chart(description: str, **parts: Any) -> Chart:
    return {
        "description": description,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding", "resize": True},
        "config": _STYLE,
        **parts,
    }


@lru_cache
def drawing_code() -> str:
    """Return Vega-Lite and Vega as one self-contained script that defines ``window.vegaEmbed``."""
    return (files("lab_report") / "vega" / "vega.js").read_text(encoding="utf-8")


def _plain(value: float) -> float | None:
    # JSON has no NaN; Vega-Lite leaves marks with null values out
    return value if math.isfinite(value) else None
