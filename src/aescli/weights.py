"""From a card to verified local files: downloaded from the Hub once, then used offline.

Only safetensors and configuration are fetched; pickles never are. A commit that the card does not pin is resolved by
the first pull and kept, with the SHA-256 of every file, in `AES_HOME/models.lock.json`; later pulls stay with it.
Transfers, resuming and the cache are huggingface_hub's.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from aescli.errors import UsageError, WeightsUnavailable
from aescli.home import aes_home
from aescli.names import escape
from aescli.output import replace_file
from aescli.registry import ModelCard, Source

_SUFFIXES = frozenset({".safetensors", ".json", ".model", ".jinja"})
_TEXTS = frozenset({"merges.txt", "vocab.txt"})
_PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack"})
_SPARE_BYTES = 256 * 1024 * 1024
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class LockedFile:
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class LockedSource:
    """One repository at one commit, with the hash of every file that was taken from it."""

    repo: str
    commit: str
    files: Mapping[str, LockedFile]


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought: its sources, and the licence that the Hub states."""

    card: ModelCard
    sources: tuple[LockedSource, ...]
    licenses: tuple[str, ...]

    def size(self) -> int:
        """Return how many bytes all files have."""
        return sum(file.size for source in self.sources for file in source.files.values())


@dataclass(frozen=True, slots=True)
class Offer:
    """What the Hub offers at one commit, before anything is fetched."""

    repo: str
    commit: str
    license: str
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]
    git_sha1: Mapping[str, str]
    pickles: tuple[str, ...]


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
    locked = {} if update else {source.repo: source for source in read_lock().get(card.id, ())}
    offers = [_offer(source, locked.get(source.repo), card) for source in card.sources]
    for offer in offers:
        _check_license(card, offer, accepted=accept_license)
        size = sum(offer.sizes.values())
        terms = f"{len(offer.sizes)} files, {size / 1e9:.2f} GB, licence {offer.license}"
        tell(f"{offer.repo} at {offer.commit[:12]}: {terms}")
        if offer.pickles:
            tell(f"{offer.repo}: left out, since pickles can run code: {', '.join(map(escape, offer.pickles))}")
    _check_space(offers)
    sources = tuple(_fetch(offer, locked.get(offer.repo), card) for offer in offers)
    _write_lock({**read_lock(), card.id: sources})
    return Pulled(card, sources, tuple(offer.license for offer in offers))


def locate(card: ModelCard) -> list[Path]:
    """Return a folder for each of the card's sources, without asking the network.

    Raises:
        WeightsUnavailable: something is missing; the hint is the line that fetches it.

    """
    sources = read_lock().get(card.id)
    if not sources:
        raise _missing(card)
    return [_folder_of(card, source) for source in sources]


def verify(card: ModelCard) -> list[str]:
    """Hash every local file again and return what is wrong, one sentence each; empty is good."""
    problems = []
    for source in read_lock().get(card.id) or ():
        for name, expected in source.files.items():
            path = _cached(source.repo, name, source.commit)
            if path is None:
                problems.append(f"{source.repo}/{name} is missing")
            elif sha256_of(path) != expected.sha256:
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
    if _cache_folder().exists():
        plan = huggingface_hub.scan_cache_dir(_cache_folder()).delete_revisions(*commits)
        freed = plan.expected_freed_size
        plan.execute()
    _write_lock({name: sources for name, sources in lock.items() if name != card.id})
    return int(freed)


def read_lock() -> dict[str, tuple[LockedSource, ...]]:
    """Return what was pulled, by the model's name.

    Raises:
        WeightsUnavailable: the lock file cannot be read: a guess would defeat it.

    """
    try:
        content = json.loads(lock_file().read_text(encoding="utf-8"))
        return {name: tuple(map(_source_from, sources)) for name, sources in content["models"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsUnavailable(
            f"{escape(str(lock_file()))} cannot be read: {error!r}",
            hint="move it away and pull again",
        ) from error


def lock_file() -> Path:
    return aes_home() / "models.lock.json"


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _offer(source: Source, locked: LockedSource | None, card: ModelCard) -> Offer:
    """Ask the Hub what there is: at the locked commit, else at the card's, else at the branch's newest."""
    import huggingface_hub
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    revision = locked.commit if locked else source.revision or "main"
    try:
        info = huggingface_hub.HfApi(endpoint=_endpoint()).model_info(
            source.repo, revision=revision, files_metadata=True
        )
    except (OfflineModeIsEnabled, HTTPError, OSError) as error:
        hint = "unset HF_HUB_OFFLINE and try again" if isinstance(error, OfflineModeIsEnabled) else ""
        if locked and not hint:
            hint = f"aes models pull {card.id} --update   takes the newest commit instead"
        raise WeightsUnavailable(
            f"{card.id}: {source.repo} at {revision} cannot be reached: {_first_line(error)}",
            hint=hint,
        ) from error
    files = info.siblings or []
    names = [file.rfilename for file in files]
    wanted = [file for file in files if _is_wanted(file.rfilename)]
    if any(_is_hostile(file.rfilename) for file in wanted):
        raise WeightsUnavailable(f"{source.repo} lists a file name that leaves its folder: refused")
    pickles = tuple(name for name in names if PurePosixPath(name).suffix in _PICKLES)
    if not any(file.rfilename.endswith(".safetensors") for file in wanted):
        held = f"only pickles ({', '.join(map(escape, pickles))})" if pickles else "no safetensors"
        raise WeightsUnavailable(f"{card.id}: {source.repo} holds {held}: refused")
    metadata = info.card_data
    return Offer(
        repo=source.repo,
        commit=str(info.sha),
        license=str((metadata.get("license") if metadata else None) or card.weights_license or "unknown"),
        sizes={file.rfilename: file.size or 0 for file in wanted},
        sha256={file.rfilename: file.lfs.sha256 for file in wanted if file.lfs},
        git_sha1={file.rfilename: file.blob_id for file in wanted if file.blob_id and not file.lfs},
        pickles=pickles,
    )


def _check_license(card: ModelCard, offer: Offer, *, accepted: bool) -> None:
    words = offer.license.lower().replace("_", "-").replace("noncommercial", "-nc").split("-")
    if (card.non_commercial or "nc" in words or "commercial" in words) and not accepted:
        raise WeightsUnavailable(
            f"{card.id}: the licence of {offer.repo} ({offer.license}) does not allow commercial use",
            hint=f"aes models pull {card.id} --accept-license",
        )


def _check_space(offers: Iterable[Offer]) -> None:
    missing = sum(
        size
        for offer in offers
        for name, size in offer.sizes.items()
        if _cached(offer.repo, name, offer.commit) is None
    )
    folder = _cache_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if missing and missing + _SPARE_BYTES > free:
        raise WeightsUnavailable(
            f"{missing / 1e9:.2f} GB are to be fetched and {free / 1e9:.2f} GB are free in {folder}",
            hint="free some space, or let HF_HOME name a folder on another disk",
        )


def _fetch(offer: Offer, locked: LockedSource | None, card: ModelCard) -> LockedSource:
    files = {}
    for name in offer.sizes:
        path = _download(offer, name, card)
        found = sha256_of(path)
        expected = locked.files[name].sha256 if locked and name in locked.files else offer.sha256.get(name)
        if (expected and found != expected) or _git_differs(path, offer.git_sha1.get(name)):
            _discard(path)
            raise WeightsUnavailable(
                f"{card.id}: {offer.repo}/{name} has SHA-256 {found[:12]}..., not {(expected or '?')[:12]}...; deleted",
                hint=f"aes models pull {card.id}",
            )
        _check_header(path, name, offer.repo)
        files[name] = LockedFile(found, path.stat().st_size)
    return LockedSource(offer.repo, offer.commit, files)


def _download(offer: Offer, name: str, card: ModelCard) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    try:
        return Path(
            huggingface_hub.hf_hub_download(
                offer.repo,
                name,
                revision=offer.commit,
                endpoint=_endpoint(),
                cache_dir=_cache_folder(),
            )
        )
    except (HTTPError, OSError) as error:
        raise WeightsUnavailable(
            f"{card.id}: {offer.repo}/{name} did not come whole: {_first_line(error)}",
            hint=f"aes models pull {card.id}   continues where it stopped",
        ) from error


def _check_header(path: Path, name: str, repo: str) -> None:
    """Refuse what calls itself safetensors and is not: the format's own reader checks every offset."""
    if not name.endswith(".safetensors"):
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        _discard(path)
        raise WeightsUnavailable(f"{repo}/{name} is no safetensors file: {error}; deleted") from error


def _git_differs(path: Path, expected: str | None) -> bool:
    """Compare with git's own hash: small files have no SHA-256 on the Hub."""
    if not expected:
        return False
    content = path.read_bytes()
    digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest() != expected


def _discard(path: Path) -> None:
    """Delete a cached file: the name in the snapshot and what it points to."""
    target = path.resolve()
    path.unlink(missing_ok=True)
    target.unlink(missing_ok=True)


def _folder_of(card: ModelCard, source: LockedSource) -> Path:
    folder = None
    for name in source.files:
        path = _cached(source.repo, name, source.commit)
        if path is None:
            raise _missing(card)
        parts = PurePosixPath(name).parts
        folder = path.parents[len(parts) - 1]
    if folder is None:
        raise _missing(card)
    return folder


def _cached(repo: str, name: str, commit: str) -> Path | None:
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(repo, name, revision=commit, cache_dir=_cache_folder())
    return Path(found) if isinstance(found, str) else None


def _missing(card: ModelCard) -> WeightsUnavailable:
    return WeightsUnavailable(f"the weights of {card.id} are not on this machine", hint=f"aes models pull {card.id}")


def _cache_folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return (path.suffix in _SUFFIXES or path.name in _TEXTS) and not path.name.startswith("pytorch_model")


def _is_hostile(name: str) -> bool:
    return "\\" in name or name.startswith("/") or ".." in PurePosixPath(name).parts


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _write_lock(models: Mapping[str, Iterable[LockedSource]]) -> None:
    file = lock_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "version": 1,
        "models": {name: [asdict(one) for one in sources] for name, sources in models.items()},
    }
    with replace_file(file) as stream:
        stream.write(json.dumps(content, indent=2, sort_keys=True).encode() + b"\n")


def _source_from(fields: Mapping[str, Any]) -> LockedSource:
    files = {name: LockedFile(str(file["sha256"]), int(file["size"])) for name, file in fields["files"].items()}
    return LockedSource(str(fields["repo"]), str(fields["commit"]), files)
