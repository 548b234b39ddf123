"""`from aescli import score_images`: scores in a program of one's own.

Nothing is printed, nothing is kept unless `store` is given, and nothing heavy is imported before the first call.
"""

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from aescli.results import Row

if TYPE_CHECKING:
    from aescli.cards import ModelCard
    from aescli.inputs import Inputs

Pictures = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def score_images(
    pictures: Pictures,
    *,
    model: str = "mini",
    dims: str | Iterable[str] = (),
    device: str = "auto",
    workers: int | None = None,
    batch_size: int | None = None,
    store: str | os.PathLike[str] | None = None,
    max_pixels: int | None = None,
) -> Generator[Row]:
    """Score pictures, one row each, in the order of the input and as soon as it is done.

    >>> from aescli import Score, score_images
    >>> for row in score_images("./photos", dims="all"):
    ...     if isinstance(row, Score):
    ...         print(f"{row.overall:.2f} of 10", row.path, row.dims["sharpness"])

    Args:
        pictures: a file, a folder (walked recursively and sorted; hidden files and links are passed over), a glob, an
            address such as `s3://bucket/folder/`, an archive, or any number of them. They are looked for when the
            function is called, and walked while rows are taken.
        model: a name of `aes models ls`, or a folder such as `./my-taste`.
        dims: `all`, or the names of dimensions beside `overall`.
        device: `auto`, `cpu`, `cuda[:N[,M...]]` or `mps`; one that is named and cannot be had is an error.
        workers: threads that decode and score; one for each usable CPU otherwise.
        batch_size: pictures at once; the model's own choice otherwise.
        store: a file that keeps finished rows, so that the next call computes only what is new or has changed.
        max_pixels: larger pictures are refused; 89 million otherwise.

    Yields:
        A `Score` with `overall` and each of `dims` from 0 to 10, higher is better, and `raw`, the model's own number;
        or a `Failure` with a stable `code` and a message. Scores are comparable within one model only.

    Raises:
        UsageError: a path does not exist, or there is no such model or dimension; raised by the call itself.
        MissingExtra: the driver of an address is not installed; raised by the call itself, too.
        NothingMatched: there is no picture; like everything below raised with the first row.
        WeightsUnavailable: the model is not on this machine, or is not what was locked.
        DeviceUnavailable: see `device`.
        StoreFailed: the store cannot be read or written.

    """
    from aescli.errors import UsageError
    from aescli.images.find import STANDARD_INPUT, Selection
    from aescli.inputs import Inputs
    from aescli.registry import choose_dimensions, find_card

    _check_counts({"workers": workers, "batch_size": batch_size, "max_pixels": max_pixels})
    words = [os.fspath(word) for word in ([pictures] if isinstance(pictures, str | os.PathLike) else pictures)]
    if STANDARD_INPUT in words:
        raise UsageError("'-' is a list on standard input, which belongs to the program", hint="./- is a file")
    inputs = Inputs(tuple(words), Selection())
    inputs.check()
    card = find_card(model)
    names = choose_dimensions(card, dims if isinstance(dims, str) else ",".join(dims) or "overall")
    return _score(
        inputs,
        card,
        names,
        device=device,
        workers=workers,
        batch_size=batch_size,
        store=Path(store) if store else None,
        max_pixels=max_pixels,
    )


def _check_counts(counts: Mapping[str, object]) -> None:
    from aescli.errors import UsageError

    for name, count in counts.items():
        if count is not None and (not isinstance(count, int) or count < 1):
            raise UsageError(f"{name} is {count!r}, and no whole number from 1 on")


def _score(
    inputs: "Inputs",
    card: "ModelCard",
    names: tuple[str, ...],
    *,
    device: str,
    workers: int | None,
    batch_size: int | None,
    store: Path | None,
    max_pixels: int | None,
) -> Generator[Row]:
    from aescli.engines.local import score_all
    from aescli.images.opening import Opener
    from aescli.images.picture import MAX_PIXELS, Decoding
    from aescli.models.base import LoadOptions
    from aescli.models.loading import load_scorer
    from aescli.runtime import usable_cpus
    from aescli.scoring import Settings, fingerprint
    from aescli.store import Store

    found = inputs.first_and_rest()  # before any weight is loaded
    with ExitStack() as stack:
        opener = stack.enter_context(Opener(Decoding(card.exact, max_pixels or MAX_PIXELS)))
        scorer = stack.enter_context(closing(load_scorer(card, names, LoadOptions(device=device))))
        keeper = stack.enter_context(Store(store, fingerprint(scorer, opener.decoding))) if store else None
        rows = score_all(
            found, scorer, Settings(opener), keeper,
            workers=workers or usable_cpus(), batch_size=batch_size or scorer.batch_size,
        )  # fmt: skip
        yield from stack.enter_context(closing(rows))
