"""The recipe `head`: a ridge or a small network on the features of a model that stays as it is.

Seconds to minutes on a CPU. The same seed gives the same weights there: linear algebra runs on one thread.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import ModelCard
from aescli.dimensions import Scale
from aescli.errors import PictureError, UsageError
from aescli.home import aes_home
from aescli.images.alike import Look, look_around, look_at_all
from aescli.images.find import Found
from aescli.images.opening import Opener
from aescli.images.picture import MAX_PIXELS, Decoding
from aescli.labels.values import OVERALL, Labelled, LabelledSet, Pair, Problem
from aescli.metrics import mae, plcc, rmse, srcc
from aescli.models.base import FeatureExtractor, LoadOptions
from aescli.models.extracting import load_extractor
from aescli.models.seen import read_seen
from aescli.models.trained_head import Head, rounded
from aescli.names import escape
from aescli.training.cache import FeatureCache
from aescli.training.features import FeatureTable, PicturesLost, describe_features, extract_features
from aescli.training.folder import Trained, check_target, write_folder
from aescli.training.groups import Groups, find_groups, join_alike, join_copies, join_near
from aescli.training.judging import Judgement, find_interval, judge
from aescli.training.leaks import is_trained_on
from aescli.training.page import HeldOut
from aescli.training.progress import Progress, Tell
from aescli.training.reports import DimensionReport, TrainReport, say_verdict
from aescli.training.targets import FEWEST, Chosen, Targets, build_targets, choose_pictures, find_scales
from aescli.training.validating import Choice, Validation, check_parts, cross_validate, fit_final

CACHE_FILE = "features.db"  # in AES_HOME

_FEW = 0.01  # of the pictures: where the base was trained on more of them, its own score is no measure
_EXTREMES = (0.005, 0.995)  # of what a head of comparisons says of its pictures: its range


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadOptions:
    """How a head is trained.

    Args:
        dimensions: `overall`, `all`, or names with commas between them.
        scale: the labels' range; None for their smallest and largest, or the levels of votes.
        group_by: what folds keep together: None, `folder`, `time` or a column.
        folds: of the validation, at least two.
        seed: of folds, shuffles, draws and first weights.
        fresh: an older model in the target folder is replaced.
        max_pixels: larger pictures are refused.

    """

    dimensions: str = "overall"
    scale: Scale | None = None
    group_by: str | None = None
    folds: int = 5
    seed: int = 0
    fresh: bool = False
    max_pixels: int = MAX_PIXELS


def train_head(
    labels: LabelledSet, card: ModelCard, target: Path, options: HeadOptions, loading: LoadOptions, tell: Tell
) -> TrainReport:
    """Train a head on labels, judge it, and write it as a model folder.

    Args:
        labels: as read.
        card: the model that gives the features.
        target: the new folder.
        options: of the training.
        loading: of the model.
        tell: is told of every step.

    Raises:
        NothingMatched: no labelled picture is there.
        UsageError: labels, groups or the target do not allow it; the message names the row.
        AesError: there is nothing to learn, or too few pictures could be read.
        WeightsUnavailable: the model cannot be loaded.
        MissingExtra: the model's features need one.

    """
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    check_target(target, card, fresh=options.fresh)
    labels = _without_groups(labels, options.group_by)
    chosen = choose_pictures(labels, options.dimensions, options.scale)
    grouped = find_groups(chosen.pictures, options.group_by, (*labels.pairs, *labels.left_out))
    # What is refused is refused before any model is loaded.
    _check_parts(build_targets(labels, chosen.pictures, chosen.dimensions), grouped, options)
    extractor = load_extractor(card, loading)
    with closing(extractor), Opener(Decoding(card.exact, options.max_pixels)) as opener:
        table, pairs, lost = _read_features(chosen.pictures, labels.pairs, extractor, opener, tell)
        labels = replace(labels, pairs=pairs)
        pictures = [chosen.pictures[row] for row in table.rows]
        targets = build_targets(labels, pictures, chosen.dimensions)
        grouped = join_copies(grouped.take(table.rows), pictures, table.contents)
        looks = _look_at(pictures, opener, tell)
        table = replace(table, looks=tuple(None if isinstance(each, PictureError) else each[0].hash for each in looks))
        grouped = join_alike(grouped, pictures, looks)
        # On one thread the same sums come in the same order on every run. It is no slower: on a busy machine, threads
        # of linear algebra wait for each other, and took eight times as long.
        with threadpool_limits(limits=1, user_api="blas"):
            grouped = join_near(grouped, pictures, table.values)
            _check_parts(targets, grouped, options)
            learnt = _learn(table, targets, grouped, options, tell)
        report = _report(learnt, labels, chosen, card, options, target)
        report = replace(report, problems=(*report.problems, *lost), seconds=time.perf_counter() - started)
        held_out = HeldOut(tuple(picture.path for picture in pictures), learnt.found.predicted, targets)
        trained = Trained(learnt.head, extractor, learnt.scales, table.known_by)
        return write_folder(trained, report, held_out, opener, fresh=options.fresh)


def _check_parts(targets: Targets, grouped: Groups, options: HeadOptions) -> None:
    """Refuse groups that are too few; why, as where copies count as one, says the note on these."""
    try:
        check_parts(targets, grouped.numbers, options.folds, options.seed)
    except UsageError as error:
        if not grouped.note:
            raise
        raise UsageError(f"{error.message}: {grouped.note}", hint=error.hint if options.group_by else "") from None


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What was learnt from, and a head, how it was chosen and how it was judged."""

    table: FeatureTable
    targets: Targets
    grouped: Groups
    head: Head
    choice: Choice
    found: Validation
    judgement: Judgement
    scales: tuple[Scale, ...]


def _read_features(
    pictures: Sequence[Labelled], pairs: Sequence[Pair], extractor: FeatureExtractor, opener: Opener, tell: Tell
) -> tuple[FeatureTable, tuple[Pair, ...], list[Problem]]:
    """Return the features of pictures that can be trained on, comparisons that count, and what was lost of both."""
    with FeatureCache(aes_home() / CACHE_FILE, describe_features(extractor, opener)) as cache:
        table = extract_features(pictures, extractor, opener, cache, tell)
    contents = {pictures[row].path: content for row, content in zip(table.rows, table.contents, strict=True)}
    lost = [*table.problems, *_find_lost(pairs, contents)]
    if pairs:
        pairs = [each for each in pairs if contents.get(each.winner, "") != contents.get(each.loser, "")]
        compared = _find_compared(pairs, contents)
        table = table.take(np.array([pictures[row].path in compared for row in table.rows], bool))
    if len(table.rows) < FEWEST:
        raise PicturesLost(f"{len(table.rows)} pictures could be read: too few; {FEWEST} are the least", lost)
    return table, tuple(pairs), lost


def _learn(table: FeatureTable, targets: Targets, grouped: Groups, options: HeadOptions, tell: Tell) -> _Learnt:
    """Validate heads, fit the one that ships to all pictures, and judge what the validation predicted."""
    found = cross_validate(table.values, targets, grouped.numbers, options.folds, options.seed, tell)
    head, choice = fit_final(table.values, targets, grouped.numbers, options.seed, tell)
    base = table.ratings if np.isfinite(table.ratings).all() else None
    judgement = judge(targets, found.predicted[:, 0], base, found.chance, grouped.numbers, options.seed)
    head = rounded(head)
    scales = find_scales(targets, options.scale) or (_range_of(head, table.values),)
    return _Learnt(table, targets, grouped, head, choice, found, judgement, scales)


def _report(
    learnt: _Learnt, labels: LabelledSet, chosen: Chosen, card: ModelCard, options: HeadOptions, target: Path
) -> TrainReport:
    """Return what is known before the model is written, but for pictures that were lost and the time it took."""
    table, targets, grouped, judgement = learnt.table, learnt.targets, learnt.grouped, learnt.judgement
    pictures = len(table.rows)
    known = read_seen(card.folder)
    seen = sum(known.holds(content, look) for content, look in table.known_by)
    leaks = is_trained_on(card, labels.name) or seen > _FEW * pictures
    scales = zip(chosen.dimensions, learnt.scales, strict=True)
    return TrainReport(
        folder=target,
        base=card.id,
        base_leaks=leaks,
        data=labels.name,
        labels_sha256=labels.sha256,
        pictures_sha256=table.sha256,
        target=targets.kind,
        measure=targets.measure,
        kind=learnt.choice.kind,
        setting=_say_setting(learnt.choice),
        by_kind={kind: targets.agreement(each[:, 0]) for kind, each in learnt.found.by_kind.items()},
        pictures=pictures,
        comparisons=0 if targets.pairs is None else len(targets.pairs),
        groups=judgement.groups,
        group_by=options.group_by,
        folds=options.folds,
        seed=options.seed,
        judgement=judgement,
        verdict=say_verdict(judgement, card.id, targets.measure, leaks=leaks),
        dimensions=_measure(learnt, options.seed),
        ranges={name: (scale.low, scale.high) for name, scale in scales},
        problems=(*labels.problems, *chosen.problems),
        missing=tuple(each.path for each in labels.missing),
        notes=(*labels.notes, *chosen.notes, *filter(None, [grouped.note, _note_seen(card, seen, pictures)])),
        weights_sha256="",
        seconds=0.0,
    )


def _say_setting(choice: Choice) -> dict[str, Any]:
    return {"strengths": choice.strengths} if choice.kind == "ridge" else choice.setting.as_json()


def _find_lost(pairs: Sequence[Pair], contents: Mapping[str, str]) -> Iterator[Problem]:
    """Yield every comparison that a picture which could not be read takes with it, and those of two equal files."""
    for pair in pairs:
        if gone := [path for path in (pair.winner, pair.loser) if path not in contents]:
            yield Problem(pair.source, f"{escape(gone[0])} could not be read")
        elif contents[pair.winner] == contents[pair.loser]:
            names = f"{escape(pair.winner)} and {escape(pair.loser)}"
            yield Problem(pair.source, f"{names} are the same picture, byte for byte")


def _find_compared(pairs: Sequence[Pair], contents: Mapping[str, str]) -> set[str]:
    """Return the pictures that are compared with one that could be read."""
    both = (pair for pair in pairs if pair.winner in contents and pair.loser in contents)
    return {path for pair in both for path in (pair.winner, pair.loser)}


def _look_at(pictures: Sequence[Labelled], opener: Opener, tell: Tell) -> list[tuple[Look, ...] | PictureError]:
    found: list[tuple[Look, ...] | PictureError] = []
    with closing(look_at_all((Found(each.path) for each in pictures), opener, look_around)) as looks:
        for look in looks:
            found.append(look)
            tell(Progress("near-duplicates", len(found), len(pictures)))
    return found


def _note_seen(card: ModelCard, seen: int, pictures: int) -> str:
    return f"{seen} of {pictures} pictures are among those that {card.id} was trained on" if seen else ""


def _without_groups(labels: LabelledSet, group_by: str | None) -> LabelledSet:
    """Return labels without the dimension that numbers of groups look like."""
    return replace(labels, dimensions=tuple(each for each in labels.dimensions if each == OVERALL or each != group_by))


def _measure(learnt: _Learnt, seed: int) -> tuple[DimensionReport, ...]:
    targets, groups = learnt.targets, learnt.grouped.numbers
    if targets.pairs is not None:
        return ()
    first, *others = zip(targets.dimensions, learnt.found.predicted.T, targets.scores.T, strict=True)
    intervals = [learnt.judgement.agreement, *(find_interval(said, actual, groups, seed) for _, said, actual in others)]
    return tuple(
        DimensionReport(
            name=name,
            srcc=srcc(said, actual),
            interval=interval,
            plcc=plcc(said, actual),
            rmse=rmse(said, actual),
            mae=mae(said, actual),
        )
        for (name, said, actual), interval in zip((first, *others), intervals, strict=True)
    )


def _range_of(head: Head, features: np.ndarray) -> Scale:
    """Return the range of a head that has none of its own, since comparisons have no unit."""
    low, high = np.quantile(head.rate(features)[:, 0], _EXTREMES)
    return Scale(float(low), float(max(high, low + 1e-6)))
