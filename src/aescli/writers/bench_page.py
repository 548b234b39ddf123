"""A benchmark as one page: records, charts and disagreements in a single file that asks no network and runs no script.

Everything that comes from outside, such as model names, file names, replies and sources, is text and never markup. The
page forbids itself everything but its own style sheet, by hash, and its own pictures.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape

import numpy as np

from aescli import metrics, names
from aescli.benchmarking import choices, scores
from aescli.benchmarking.lines import Line
from aescli.benchmarking.published import published
from aescli.benchmarking.records import BenchReport, Record
from aescli.writers.benchmarks import describe, show_number
from aescli.writers.charts import Dot, bar_chart, dot_plot, scatter

Thumbnail = Callable[[str], bytes | None]

REFERENCE = "GPT-4V"

_PLOTTED = ("srcc", "plcc", "krcc", "mae", "accuracy", "pair_accuracy", "consistent_accuracy")
_LOWER_IS_BETTER = frozenset({"mae"})
_MOST_POINTS, _MOST_PICTURES, _BINS = 3_000, 10, 10
_STYLE = """
:root{color-scheme:light dark;--ink:#1c1c1e;--soft:#6b6b70;--line:#d9d9de;--page:#fff;--ours:#0a6e8a;--them:#b8562b;
--base:#8a8a8f;--leak:#a03070}
@media(prefers-color-scheme:dark){:root{--ink:#ececee;--soft:#a0a0a6;--line:#3a3a3e;--page:#161618;--ours:#4fb6d6;
--them:#f08c5a;--base:#8a8a8f;--leak:#e079b4}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1040px;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-top:1px solid var(--line);padding-top:1.2rem}h3{margin:1.6rem 0 .3rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px;display:block;overflow-x:auto}
th,td{padding:.2rem .6rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
td.number{text-align:right;white-space:nowrap}td.note{color:var(--soft);min-width:16rem}
tr.published td{color:var(--them)}
tr.leak td{color:var(--leak)}p.soft,figcaption{color:var(--soft);font-size:13px}
svg{max-width:100%;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}
svg text.tick{fill:var(--soft);font-size:11px}svg text.value{fill:var(--soft);font-size:11px}
svg line.grid{stroke:var(--line)}svg line.zero{stroke:var(--ink)}svg .axis{fill:none;stroke:var(--soft)}
svg .ours{fill:var(--ours);stroke:var(--ours)}svg .them{fill:var(--them);stroke:var(--them)}
svg .base{fill:var(--base);stroke:var(--base)}svg .leak{fill:var(--leak);stroke:var(--leak)}
svg .whisker{stroke-width:2}svg .point{fill:var(--ours);opacity:.35}
svg .fit{fill:none;stroke:var(--them);stroke-width:2}
.row{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;max-width:330px}figure.picture{width:180px}
figure.picture img{width:180px;height:140px;object-fit:cover;border-radius:4px}figcaption{overflow-wrap:anywhere}
.key span{margin-right:1.2rem}.key .ours{color:var(--ours)}.key .them{color:var(--them)}.key .base{color:var(--base)}
.key .leak{color:var(--leak)}
""".strip()


def write_page(report: BenchReport, thumbnail: Thumbnail | None = None, title: str = "aes bench") -> bytes:
    """Return the page, UTF-8.

    Args:
        report: what it shows.
        thumbnail: from a path to a small JPEG, or None where it cannot be read; None for no pictures at all.
        title: of the page.

    """
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    body = "".join(_body(report, thumbnail))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{_text(title)}</h1>{body}</body></html>\n"
    ).encode()


def _body(report: BenchReport, thumbnail: Thumbnail | None) -> Iterator[str]:
    yield (
        '<p class="key"><span class="ours">● measured</span><span class="them">● published</span>'
        '<span class="base">● baseline, needs no model</span>'
        '<span class="leak">● the model has seen this set</span></p>'
        '<p class="soft">Whiskers are 95% intervals: bootstrap over items, seeded, for correlations and errors, those '
        "of Wilson for shares. Differences are paired: a tie is a tie, whatever the order of two dots.</p>"
    )
    yield "".join(f'<p class="soft">{_text(note)}</p>' for note in report.notes)
    for suite, split in dict.fromkeys((record.suite, record.split) for record in report.records):
        chosen = [record for record in report.records if (record.suite, record.split) == (suite, split)]
        lines = {
            model: [line for line in found if (line.suite, line.split) == (suite, split)]
            for model, found in report.lines.items()
        }
        lines = {model: found for model, found in lines.items() if found}
        yield f"<h2>{_text(suite)} <small>{_text(split)}</small></h2>"
        yield "".join(_part(suite, chosen, lines, thumbnail))


def _part(
    suite: str, records: Sequence[Record], lines: Mapping[str, Sequence[Line]], thumbnail: Thumbnail | None
) -> Iterator[str]:
    yield "".join(_dots(records))
    yield "".join(_abilities(suite, records))
    rated = {model: found for model, found in lines.items() if scores.list_targets(found)[:1] == [scores.OVERALL]}
    scales = scores.find_scales(line for found in rated.values() for line in found)
    judged = {model: scores.collect(found, scores.OVERALL, scales[scores.OVERALL]) for model, found in rated.items()}
    judged = {model: each for model, each in judged.items() if metrics.srcc(each.predicted, each.actual) is not None}
    yield "".join(_scatters(judged))
    yield "".join(_disagreements(lines, judged, thumbnail))
    yield _records_table(records)


def _dots(records: Sequence[Record]) -> Iterator[str]:
    """Yield a dot plot of each metric that compares models, and of the differences."""
    by_metric: dict[str, list[Record]] = {}
    for record in records:
        if record.value is not None:
            by_metric.setdefault(record.metric, []).append(record)
    for metric, found in by_metric.items():
        last = metric.rpartition("/")[2]
        headline = metric == last or metric.split("/")[-2] == choices.OVERALL
        if (headline and last in _PLOTTED) or metric.endswith("/shift"):
            sign = 1 if last in _LOWER_IS_BETTER else -1
            ordered = sorted(found, key=lambda each: sign * (each.value or 0))
            drawn = dot_plot(metric, [_dot(each) for each in ordered], zero=metric.endswith("/shift"))
            yield f"<h3>{_text(metric)}</h3>{drawn}"
        elif metric.endswith("_difference"):
            yield f"<h3>{_text(metric.removesuffix('_difference'))}: paired differences</h3>"
            yield dot_plot(metric, [_dot(each) for each in found], zero=True)


def _dot(record: Record) -> Dot:
    tie = record.note.startswith("tie")
    label = ("tie: " if tie else "") + names.escape(record.model)
    return Dot(label, record.value or 0.0, record.low, record.high, "base" if tie else _kind(record))


def _kind(record: Record) -> str:
    if record.is_published():
        return "them"
    if record.model.startswith(("baseline:", "ceiling:")):
        return "base"
    return "leak" if "leak:" in record.note else "ours"


def _abilities(suite: str, records: Sequence[Record]) -> Iterator[str]:
    """Yield bars of each ability and class beside GPT-4V's published ones."""
    found = [each for each in records if each.metric.endswith("/accuracy") and not each.is_published()]
    models = list(dict.fromkeys(each.model for each in found if not each.model.startswith("baseline:")))
    if not models:
        return
    metrics_ = list(dict.fromkeys(each.metric for each in found if each.model in models))
    theirs = {each.metric: each.value for each in published([suite]) if each.model == REFERENCE}
    ours = {(each.model, each.metric): each.value for each in found}
    series = [(model, "ours", [ours.get((model, metric)) for metric in metrics_]) for model in models[:3]]
    if any(metric in theirs for metric in metrics_):
        series.append((REFERENCE, "them", [theirs.get(metric) for metric in metrics_]))
    labels = [metric.removesuffix("/accuracy") for metric in metrics_]
    listed = ", then ".join(_text(name) for name, _, _ in series)
    yield f'<h3>Abilities</h3><p class="soft">Percent of all items; from top to bottom {listed}.</p>'
    yield bar_chart("abilities", labels, series)


def _scatters(judged: Mapping[str, scores.Judged]) -> Iterator[str]:
    """Yield for each model its scores against labels, with the mean label of each tenth of its scores."""
    if not judged:
        return
    yield (
        '<h3>Scores and labels</h3><p class="soft">Each dot is a picture; the line is calibration: the mean label of '
        'each tenth of the scores, lowest to highest.</p><div class="row">'
    )
    for model, each in judged.items():
        value = metrics.srcc(each.predicted, each.actual)
        points = list(zip(each.predicted.tolist(), each.actual.tolist(), strict=True))[:_MOST_POINTS]
        drawn = scatter(f"{model}: scores and labels", points, ("score, out of 10", "label"), _calibration(each))
        yield f"<figure>{drawn}<figcaption>{_text(model)}, srcc {show_number(value)}</figcaption></figure>"
    yield "</div>"


def _calibration(each: scores.Judged) -> list[tuple[float, float]]:
    order = np.argsort(each.predicted, kind="stable")
    parts = [part for part in np.array_split(order, min(_BINS, len(order))) if len(part)]
    return [(float(each.predicted[part].mean()), float(each.actual[part].mean())) for part in parts]


def _disagreements(
    lines: Mapping[str, Sequence[Line]], judged: Mapping[str, scores.Judged], thumbnail: Thumbnail | None
) -> Iterator[str]:
    """Yield for each model the pictures on which it is furthest from people, by rank; as thumbnails where allowed."""
    for model, each in judged.items():
        gap = (metrics.rank(each.predicted) - metrics.rank(each.actual)) / len(each.actual)
        paths = {line.item: line.path for line in lines[model]}
        order = np.argsort(-np.abs(gap), kind="stable")[:_MOST_PICTURES].tolist()
        captions = [
            (paths[each.items[at]], each.items[at], f"score {each.predicted[at]:.2f}, label {each.actual[at]:.2f}: "
             f"{abs(100 * gap[at]):.0f}% of the ranks too {'high' if gap[at] > 0 else 'low'}")
            for at in order
        ]  # fmt: skip
        yield from _pictures(f"Where {model} and people disagree", captions, thumbnail)
    for model, found in lines.items():
        wrong = [line for line in found if line.answer and line.is_done() and not choices.is_right(line)]
        captions = [
            (
                line.path,
                line.item,
                f"right: {line.options[line.answer or '']}; it said: {(line.reply or line.error)[:80]}",
            )
            for line in wrong[:_MOST_PICTURES]
        ]
        if captions:
            yield from _pictures(f"Where {model} is wrong", captions, thumbnail)


def _pictures(title: str, captions: Iterable[tuple[str, str, str]], thumbnail: Thumbnail | None) -> Iterator[str]:
    yield f'<h3>{_text(title)}</h3><div class="row">'
    for path, item, text in captions:
        data = thumbnail(path) if thumbnail else None
        shown = ""
        if data:
            shown = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
        yield f'<figure class="picture">{shown}<figcaption><b>{_text(item)}</b><br>{_text(text)}</figcaption></figure>'
    yield "</div>"


def _records_table(records: Sequence[Record]) -> str:
    rows = "".join(map(_row, records))
    head = "".join(f"<th>{name}</th>" for name in ("metric", "model", "value", "95% interval", "n", "note"))
    return f"<h3>Every number</h3><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(record: Record) -> str:
    interval = f"{record.low:.3f} to {record.high:.3f}" if record.low is not None and record.high is not None else ""
    kind = {"them": "published", "leak": "leak"}.get(_kind(record), "")
    return (
        f'<tr class="{kind}"><td>{_text(record.metric)}</td><td>{_text(record.model)}</td>'
        f'<td class="number">{show_number(record.value)}</td><td class="number">{interval}</td>'
        f'<td class="number">{"" if record.n is None else record.n}</td>'
        f'<td class="note">{_text(describe(record))}</td></tr>'
    )


def _text(text: str) -> str:
    """Return text from outside as text: nothing in it can be markup, and no letter hides or turns others."""
    return escape(names.escape(text))
