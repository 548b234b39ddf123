"""From a card to verified local files: downloaded from the Hub once, then used offline.

A commit that the card does not pin is resolved by the first pull and kept in the lock file, with the SHA-256 of every
file; later pulls stay with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aescli import hub
from aescli.cards import ModelCard
from aescli.errors import UsageError, WeightsUnavailable
from aescli.lock import LockedSource, read_lock, write_lock
from aescli.names import escape

COMMIT_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought: its sources, and the licence that the Hub states."""

    card: ModelCard
    sources: tuple[LockedSource, ...]
    licenses: tuple[str, ...]

    def size(self) -> int:
        """Return how many bytes all files have."""
        return sum(file.size for source in self.sources for file in source.files.values())


def pull(
    card: ModelCard,
    *,
    accept_license: bool = False,
    update: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Pulled:
    """Download a model's files and lock their commit and hashes.

    Args:
        card: the model.
        accept_license: the user agrees to non-commercial terms.
        update: resolve the branch anew instead of staying with the locked commit.
        tell: is told what will be fetched, under which licence.

    Raises:
        UsageError: the model needs no download.
        WeightsUnavailable: offline, no such repository or commit, only pickles, not enough space, a wrong hash, or a
            licence that is not accepted.

    """
    if not card.sources:
        raise UsageError(f"{card.id} needs no download")
    locked = {} if update else {source.repo: source for source in _locked(card)}
    offers = [hub.ask(source, locked.get(source.repo), card) for source in card.sources]
    for offer in offers:
        hub.check_license(card, offer, accepted=accept_license)
        size = sum(offer.sizes.values())
        terms = f"{len(offer.sizes)} files, {size / 1e9:.2f} GB, licence {offer.license}"
        tell(f"{offer.repo} at {offer.commit[:12]}: {terms}")
        if offer.pickles:
            tell(f"{offer.repo}: left out, since pickles can run code: {', '.join(map(escape, offer.pickles))}")
    hub.check_space(offers)
    sources = tuple(hub.fetch(offer, locked.get(offer.repo), card) for offer in offers)
    write_lock({**read_lock(), card.id: sources})
    return Pulled(card, sources, tuple(offer.license for offer in offers))


def locate(card: ModelCard) -> list[Path]:
    """Return a folder for each of the card's sources, without asking the network.

    Raises:
        WeightsUnavailable: something is missing; the hint is the line that fetches it.

    """
    sources = _locked(card)
    if not sources:
        raise _missing(card)
    return [_folder_of(card, source) for source in sources]


def verify(card: ModelCard) -> list[str]:
    """Hash every local file again and return what is wrong, one sentence each; empty is good."""
    problems = []
    for source in _locked(card):
        for name, expected in source.files.items():
            path = hub.cached(source.repo, name, source.commit)
            if path is None:
                problems.append(f"{source.repo}/{name} is missing")
            elif hub.sha256_of(path) != expected.sha256:
                problems.append(f"{source.repo}/{name} is not what was locked")
    return problems


def remove(card: ModelCard) -> int:
    """Delete a model's files from the cache and its lines from the lock; return how many bytes that freed.

    Raises:
        UsageError: nothing of it was pulled.

    """
    import huggingface_hub

    lock = read_lock()
    if card.id not in lock:
        raise UsageError(f"nothing of {card.id} was pulled")
    others = {source.commit for name, sources in lock.items() if name != card.id for source in sources}
    commits = [source.commit for source in lock[card.id] if source.commit not in others]
    freed = 0
    if hub.cache_folder().exists():
        plan = huggingface_hub.scan_cache_dir(hub.cache_folder()).delete_revisions(*commits)
        freed = plan.expected_freed_size
        plan.execute()
    write_lock({name: sources for name, sources in lock.items() if name != card.id})
    return int(freed)


def _locked(card: ModelCard) -> tuple[LockedSource, ...]:
    """Return what is locked for a card, if it is what the card means today: a card's own pin is never overruled."""
    locked = {source.repo: source for source in read_lock().get(card.id, ())}
    for source in card.sources:
        held = locked.get(source.repo)
        pinned = source.revision if source.revision and len(source.revision) == COMMIT_LENGTH else None
        if held is None or (pinned and held.commit != pinned):
            return ()
    return tuple(locked[source.repo] for source in card.sources)


def _folder_of(card: ModelCard, source: LockedSource) -> Path:
    folder = None
    for name in source.files:
        path = hub.cached(source.repo, name, source.commit)
        if path is None:
            raise _missing(card)
        parts = PurePosixPath(name).parts
        folder = path.parents[len(parts) - 1]
    if folder is None:
        raise _missing(card)
    return folder


def _missing(card: ModelCard) -> WeightsUnavailable:
    return WeightsUnavailable(f"the weights of {card.id} are not on this machine", hint=f"aes models pull {card.id}")
