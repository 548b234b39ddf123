"""The report as one page that needs nothing else: no network, no script, every word escaped."""

import base64
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape as quote

import numpy as np
from PIL import Image

from aescli.errors import PictureError
from aescli.images.opening import Opener
from aescli.images.source import read_file
from aescli.names import escape
from aescli.training.reports import TrainReport
from aescli.training.targets import Targets

MISSES = 12

_THUMBNAIL = 180  # pixels on the long side
_MOST_POINTS = 3000
_WIDTH, _HEIGHT, _MARGIN = 460, 340, 40
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2em 1em .2em 0;text-align:left}"
    "figure{display:inline-block;width:190px;margin:.5em;vertical-align:top;font-size:12px;overflow-wrap:anywhere}"
    "svg{background:#fafafa;max-width:100%;height:auto}td{overflow-wrap:anywhere}circle{fill:#27c;fill-opacity:.35}line{stroke:#999}text{font-size:11px;fill:#555}"
)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What heads say of pictures that they have not seen: paths, ratings (pictures, dimensions), what people say."""

    paths: tuple[str, ...]
    predicted: np.ndarray
    targets: Targets


def render_page(report: TrainReport, held_out: HeldOut, opener: Opener) -> str:
    """Return the page: verdict, numbers, scatter, residuals, and the worst misses with their pictures."""
    policy = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    body = [
        f"<h1>{_safe(report.folder.name)}</h1>",
        f"<p><strong>{_safe(report.verdict)}</strong></p>",
        _table(_numbers(report)),
        *_charts(held_out),
        f"<h2>The {MISSES} worst misses</h2>",
        *(_figure(paths, words, opener) for paths, words in find_misses(held_out)),
        *_list("Notes on the labels", report.notes),
        *_list("Rows and pictures that could not be used", [str(each) for each in report.problems]),
        *_list("Labelled pictures that are not there", report.missing),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="'
        f"default-src 'none'; img-src data:; style-src 'sha256-{policy}'; base-uri 'none'; form-action 'none'\">"
        f"<title>{_safe(report.folder.name)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def find_misses(held_out: HeldOut) -> list[tuple[tuple[str, ...], str]]:
    """Return the pictures, or the pairs of winner and loser, that were predicted worst, and what was said of them."""
    said, targets, paths = held_out.predicted[:, 0], held_out.targets, held_out.paths
    if targets.pairs is not None:
        short = said[targets.pairs[:, 1]] - said[targets.pairs[:, 0]]  # positive where the loser was preferred
        worst = [at for at in np.argsort(-short, kind="stable")[:MISSES] if short[at] > 0]
        pairs = [targets.pairs[at] for at in worst]
        return [
            ((paths[first], paths[second]), f"people prefer the first: {said[first]:.2f} against {said[second]:.2f}")
            for first, second in pairs
        ]
    people = targets.scores[:, 0]
    worst = np.argsort(-np.abs(said - people), kind="stable")[:MISSES].tolist()
    return [((paths[at],), f"predicted {said[at]:.2f}, people {people[at]:.2f}") for at in worst]


def _numbers(report: TrainReport) -> Iterator[tuple[str, str]]:
    judgement = report.judgement
    yield f"{report.measure} on held-out pictures, 95% interval", str(judgement.agreement)
    yield f"{report.base} alone", str(judgement.base) if judgement.base else "has no score of its own"
    yield "difference", str(judgement.difference)
    yield "trained on shuffled labels", str(judgement.chance)
    for kind, agreement in report.by_kind.items():
        yield f"{kind} alone", f"{agreement:.3f}"
    for each in report.dimensions:
        yield each.name, f"SRCC {each.say_srcc()}, PLCC {_shown(each.plcc)}, RMSE {_shown(each.rmse)}"
    yield "head", f"{report.kind}, {', '.join(f'{name} {value}' for name, value in report.setting.items())}"
    alone = "each picture by itself" if report.groups == report.pictures else f"{report.groups} groups"
    groups = f"{report.groups} groups by {report.group_by}" if report.group_by else alone
    yield "data", f"{report.data}: {report.say_amount()}, {groups}, {report.folds} folds, seed {report.seed}"
    if report.base_leaks:
        yield (
            "note",
            f"{report.base} was itself trained on this data, or on some of it: numbers may be flattered",
        )
    yield "weights", report.weights_sha256


def _charts(held_out: HeldOut) -> Iterator[str]:
    targets = held_out.targets
    if targets.pairs is not None:
        return
    said, people = held_out.predicted[:, 0], targets.scores[:, 0]
    yield "<h2>Predicted and actual</h2>"
    yield _scatter(people, said, "people", "predicted", diagonal=True)
    yield "<h2>Residuals</h2>"
    yield _scatter(said, said - people, "predicted", "predicted less people", diagonal=False)


def _scatter(x: np.ndarray, y: np.ndarray, x_name: str, y_name: str, *, diagonal: bool) -> str:
    low_x, high_x = float(x.min()), float(x.max())
    low_y, high_y = float(y.min()), float(y.max())
    if diagonal:
        low_x = low_y = min(low_x, low_y)
        high_x = high_y = max(high_x, high_y)

    def across(value: float) -> float:
        return _MARGIN + (value - low_x) / max(high_x - low_x, 1e-9) * (_WIDTH - 2 * _MARGIN)

    def down(value: float) -> float:
        return _HEIGHT - _MARGIN - (value - low_y) / max(high_y - low_y, 1e-9) * (_HEIGHT - 2 * _MARGIN)

    step = max(1, -(-len(x) // _MOST_POINTS))
    points = "".join(
        f'<circle cx="{across(a):.1f}" cy="{down(b):.1f}" r="3"/>'
        for a, b in zip(x[::step].tolist(), y[::step].tolist(), strict=True)
    )
    start, end = (low_y, high_y) if diagonal else (0.0, 0.0)
    line = f'<line x1="{across(low_x):.1f}" y1="{down(start):.1f}" x2="{across(high_x):.1f}" y2="{down(end):.1f}"/>'
    words = (
        f'<text x="{_MARGIN}" y="{_HEIGHT - 8}">{_safe(x_name)}: {low_x:.2f} to {high_x:.2f}</text>'
        f'<text x="{_MARGIN}" y="16">{_safe(y_name)}: {low_y:.2f} to {high_y:.2f}</text>'
    )
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return f'<svg {size} role="img">{line}{points}{words}</svg>'


def _figure(paths: Sequence[str], words: str, opener: Opener) -> str:
    pictures = "".join(_thumbnail(path, opener) for path in paths)
    names = ", ".join(_safe(path).replace("/", "/<wbr>") for path in paths)  # lines break between folders
    return f"<figure>{pictures}<figcaption>{_safe(words)}<br>{names}</figcaption></figure>"


def _thumbnail(path: str, opener: Opener) -> str:
    try:
        with opener.open(read_file(path).data, path) as view:
            picture = Image.fromarray(view.whole(_THUMBNAIL))
    except PictureError:
        return ""  # it could be read before; its name is shown all the same
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><td>{_safe(a)}</td><td>{_safe(b)}</td></tr>" for a, b in rows) + "</table>"


def _list(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"<h2>{_safe(title)}: {len(lines)}</h2>"
        yield "<ul>" + "".join(f"<li>{_safe(line)}</li>" for line in lines[:1000]) + "</ul>"


def _safe(text: str) -> str:
    """Return text as HTML; a name's control and bidi characters are shown, not obeyed."""
    return quote(escape(text))


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
