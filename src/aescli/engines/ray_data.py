"""Many machines: Ray Data streams inputs to a pool of actors; in each, a model of its own and the local engine.

This process finds inputs, looks up what is kept, keeps and writes rows, in the order of the input; actors read, decode
and rate. So a run continues from the same store whichever engine began it, and a picture that fails is a row and never
a block. An actor that dies is started again, its block is scored anew; when this process dies, what the store flushed
is done. Files must be where every machine of the cluster finds them.
"""

import logging
import math
import os
import pickle
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aescli.cards import ModelCard
from aescli.engines import local
from aescli.engines.base import Job
from aescli.errors import AesError, ErrorCode, MissingExtra, PictureError, first_line
from aescli.images.find import Found
from aescli.images.picture import take_over_pillow
from aescli.models.loading import load_scorer
from aescli.results import Row, Score
from aescli.runtime import usable_cpus
from aescli.scoring import Settings, fail, find_kept
from aescli.store import Key, Store

if TYPE_CHECKING:
    import pyarrow

    from aescli.models.base import Described

_LARGEST_BLOCK = 256  # inputs: what is scored anew when an actor dies
_BLOCKS_FOR_EACH = 16  # actors take turns, so that none is left with much at the end
_TRIES = 3  # of a block whose actor died


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where actors run and how many.

    Args:
        address: of a cluster; None starts one on this machine, that ends with the run.
        actors: None for one on each GPU, else on each CPU.
        gpus: for each actor, possibly a part of one; None for one where there are any and the device is not `cpu`.

    """

    address: str | None = None
    actors: int | None = None
    gpus: float | None = None


@dataclass(frozen=True, slots=True)
class _Description:
    """A model that is loaded elsewhere."""

    card: ModelCard
    dimensions: tuple[str, ...]
    backend: str
    batch_size: int
    fingerprint: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Pool:
    """How the actors share the cluster."""

    actors: int
    gpus: float
    workers: int


class RayEngine:
    """A cluster that is joined or started, and what the model says of itself there.

    Raises:
        MissingExtra: Ray is not installed.
        AesError: there is no such cluster, or the model cannot be loaded there.

    """

    def __init__(self, job: Job, cluster: Cluster) -> None:
        self._job = job
        _start(cluster, job.workers)
        try:
            self._pool = _share_out(job, cluster)
            self.scorer: Described = _describe_there(job, self._pool)
        except BaseException:
            self.close()
            raise

    def score_all(self, inputs: Iterable[Found], settings: Settings, store: Store | None) -> Generator[Row]:
        """Yield one row for each input, in order.

        Raises:
            AesError: the cluster failed.

        """
        kept_before = None if settings.fresh else store
        found: list[Found] = []
        is_open = bytearray()  # 1 where the cluster has to score
        for each in inputs:
            found.append(each)
            kept = kept_before is not None and not each.problem and kept_before.has(Key(each.identify()))
            is_open.append(not each.problem and not kept)
        done = self._score_there([each for each, mark in zip(found, is_open, strict=True) if mark])
        for each, mark in zip(found, is_open, strict=True):
            if not mark:
                yield self._settled(each, store)
                continue
            key, row = next(done)
            if store:
                store.keep(key, row)
            yield row

    def close(self) -> None:
        """Leave the cluster, or end the one of this run."""
        import ray

        ray.shutdown()

    def _settled(self, found: Found, store: Store | None) -> Row:
        """Return the row of an input that needs no model."""
        if found.problem:
            return fail(found, found.problem, self.scorer, store)
        changed = PictureError(ErrorCode.VANISHED, "the file changed while the run was being planned")
        return find_kept(found, store) or fail(found, changed, self.scorer, None)

    def _score_there(self, found: Sequence[Found]) -> Iterator[tuple[Key, Row]]:
        if not found:
            return
        import ray.data
        from ray.exceptions import RayError

        batch_size = self._job.batch_size or self.scorer.batch_size
        share = math.ceil(len(found) / (self._pool.actors * _BLOCKS_FOR_EACH))
        size = max(batch_size, min(_LARGEST_BLOCK, share))
        blocks = [_block_of(found[at : at + size]) for at in range(0, len(found), size)]
        with warnings.catch_warnings():
            # Without a limit, Ray tries a picture that kills its actor for ever; in 2.60 the limit has no other place.
            warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
            scored = ray.data.from_arrow(blocks).map_batches(
                _actor_class(self._job, max(self._pool.workers, self._job.readers), batch_size),
                compute=ray.data.ActorPoolStrategy(size=self._pool.actors),
                batch_size=None,
                num_cpus=self._pool.workers,
                num_gpus=self._pool.gpus,
                max_task_retries=_TRIES,
            )
        try:
            for block in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from map(pickle.loads, block["done"].to_pylist())  # type: ignore[union-attr]
        except RayError as error:
            raise _failed(error) from error


@dataclass(slots=True)
class _Seen:
    """Stands for the store where there is none: it remembers by which key each row would be kept."""

    keys: dict[int, Key] = field(default_factory=dict)

    def find(self, key: Key, path: str) -> Score | None:  # noqa: ARG002
        return None

    def keep(self, key: Key, row: Row) -> None:
        self.keys[id(row)] = key


class _Actor:
    """A model and the local engine, on whichever machine Ray starts it."""

    def __init__(self, job: Job, workers: int, batch_size: int) -> None:
        take_over_pillow()
        scorer = load_scorer(job.card, job.dimensions, job.options)
        self._engine = local.LocalEngine(scorer, workers, batch_size)
        self._settings = Settings(job.opener())

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        inputs: list[Found] = [pickle.loads(each) for each in batch["input"]]  # noqa: S301 - from our own process
        seen = _Seen()
        rows = list(self._engine.score_all(inputs, self._settings, seen))
        return {"done": [pickle.dumps((seen.keys.get(id(row), Key(None)), row)) for row in rows]}


def _actor_class(job: Job, workers: int, batch_size: int) -> type[_Actor]:
    """Return a class without arguments: those of a constructor get lost with the machine that holds them."""

    class Actor(_Actor):
        def __init__(self) -> None:
            super().__init__(job, workers, batch_size)

    return Actor


def _block_of(found: Sequence[Found]) -> "pyarrow.Table":
    import pyarrow as arrow

    return arrow.table({"input": arrow.array([pickle.dumps(each) for each in found], arrow.large_binary())})


def _start(cluster: Cluster, workers: int | None) -> None:
    address = cluster.address
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtra("--engine ray", "ray") from None
    cpus = None if address else max(usable_cpus(), (cluster.actors or 1) * (workers or 1))
    try:
        ray.init(
            address=address or "local",
            num_cpus=cpus,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"the cluster at {address}" if address else "a cluster on this machine"
        raise AesError(f"Ray cannot reach {where}: {first_line(error)}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True


def _share_out(job: Job, cluster: Cluster) -> _Pool:
    import ray

    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = int(there.get("CPU", 1)), there.get("GPU", 0.0)
    each = cluster.gpus if cluster.gpus is not None else float(gpus >= 1 and job.options.device != "cpu")
    actors = cluster.actors or max(1, int(gpus / each) if each else cpus // (job.workers or 1))
    pool = _Pool(actors, each, job.workers or max(1, cpus // actors))
    if pool.workers > cpus or each > gpus:
        raise AesError(f"an actor of {pool.workers} CPUs and {each:g} GPUs has no room: there are {cpus} and {gpus:g}")
    return pool


def _describe_there(job: Job, pool: _Pool) -> _Description:
    """Load the model once in the cluster, since this machine may be none that could."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    describe = ray.remote(num_cpus=1, num_gpus=pool.gpus, max_retries=1)(_describe)
    try:
        described: _Description = ray.get(describe.remote(job))
    except RayTaskError as error:
        if isinstance(error.cause, AesError):
            raise error.cause from None
        raise
    except RayError as error:
        raise _failed(error) from error
    return described


def _describe(job: Job) -> _Description:
    scorer = load_scorer(job.card, job.dimensions, job.options)
    scorer.close()
    return _Description(scorer.card, scorer.dimensions, scorer.backend, scorer.batch_size, scorer.fingerprint)


def _failed(error: Exception) -> AesError:
    return AesError(
        f"the cluster failed: {type(error).__name__}: {first_line(error)}",
        hint="what is scored is kept: running again continues",
    )
