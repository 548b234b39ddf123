"""The Hub: what a repository offers at one commit, and its files, checked against every hash that is known.

Only safetensors and configuration are fetched; pickles never are. Transfers, resuming and the cache are
huggingface_hub's.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aescli.cards import ModelCard, Source
from aescli.errors import WeightsUnavailable
from aescli.lock import LockedFile, LockedSource
from aescli.names import escape

_SUFFIXES = frozenset({".safetensors", ".json", ".model", ".jinja", ".py"})
_TEXTS = frozenset({"merges.txt", "vocab.txt"})
_PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack"})
_SPARE_BYTES = 256 * 1024 * 1024
_BLOCK = 1 << 20


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


def ask(source: Source, locked: LockedSource | None, card: ModelCard) -> Offer:
    """Ask the Hub what there is: at the locked commit, else at the card's, else at the branch's newest."""
    import huggingface_hub
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    revision = locked.commit if locked else source.revision or "main"
    try:
        info = huggingface_hub.HfApi(endpoint=endpoint()).model_info(
            source.repo, revision=revision, files_metadata=True
        )
    except (OfflineModeIsEnabled, HTTPError, OSError, ValueError, KeyError) as error:
        hint = "unset HF_HUB_OFFLINE and try again" if isinstance(error, OfflineModeIsEnabled) else ""
        if locked and not hint:
            hint = f"aes models pull {card.id} --update   takes the newest commit instead"
        raise WeightsUnavailable(
            f"{card.id}: {source.repo} at {revision} cannot be reached: {first_line(error)}",
            hint=hint,
        ) from error
    if not is_commit(str(info.sha)) or (is_commit(revision) and info.sha != revision):
        raise WeightsUnavailable(f"{card.id}: {source.repo} answered with commit {info.sha}, not {revision}: refused")
    files = info.siblings or []
    names = [file.rfilename for file in files]
    wanted = [file for file in files if _is_wanted(file.rfilename)]
    if any(is_hostile(file.rfilename) for file in wanted):
        raise WeightsUnavailable(f"{source.repo} lists a file name that leaves its folder: refused")
    pickles = tuple(name for name in names if PurePosixPath(name).suffix in _PICKLES)
    if not any(file.rfilename.endswith(".safetensors") for file in wanted):
        held = f"only pickles ({', '.join(map(escape, pickles))})" if pickles else "no safetensors"
        raise WeightsUnavailable(f"{card.id}: {source.repo} holds {held}: refused")
    stated = info.card_data
    metadata = {name: stated.get(name) for name in ("license", "license_name")} if stated else {}
    return Offer(
        repo=source.repo,
        commit=str(info.sha),
        license=_license_of(metadata) or card.weights_license or "unknown",
        sizes={file.rfilename: file.size or 0 for file in wanted},
        sha256={file.rfilename: file.lfs.sha256 for file in wanted if file.lfs},
        git_sha1={file.rfilename: file.blob_id for file in wanted if file.blob_id and not file.lfs},
        pickles=pickles,
    )


def check_license(card: ModelCard, offer: Offer, *, accepted: bool) -> None:
    """Refuse terms that are non-commercial, or the Hub's `other`, until the user has accepted them."""
    stated = offer.license.lower()
    words = re.split(r"[^a-z]+", stated.replace("noncommercial", "nc").replace("non-commercial", "nc"))
    if (card.non_commercial or "nc" in words or words[0] == "other") and not accepted:
        raise WeightsUnavailable(
            f"{card.id}: the licence of {offer.repo} ({offer.license}) may not allow commercial use",
            hint=f"aes models pull {card.id} --accept-license",
        )


def _license_of(metadata: Mapping[str, object]) -> str:
    """Return the licence that a model card states, with the name that explains `other`."""
    named = metadata.get("license_name")
    return f"{metadata.get('license') or 'other'} ({named})" if named else str(metadata.get("license") or "")


def is_commit(revision: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def check_space(offers: Iterable[Offer]) -> None:
    missing = sum(
        size for offer in offers for name, size in offer.sizes.items() if cached(offer.repo, name, offer.commit) is None
    )
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if missing and missing + _SPARE_BYTES > free:
        raise WeightsUnavailable(
            f"{missing / 1e9:.2f} GB are to be fetched and {free / 1e9:.2f} GB are free in {folder}",
            hint="free some space, or let HF_HOME name a folder on another disk",
        )


def fetch(offer: Offer, locked: LockedSource | None, card: ModelCard) -> LockedSource:
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
                endpoint=endpoint(),
                cache_dir=cache_folder(),
            )
        )
    except (HTTPError, OSError, ValueError) as error:
        raise WeightsUnavailable(
            f"{card.id}: {offer.repo}/{name} did not come whole: {first_line(error)}",
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


def cached(repo: str, name: str, commit: str) -> Path | None:
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(repo, name, revision=commit, cache_dir=cache_folder())
    return Path(found) if isinstance(found, str) else None


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return (path.suffix in _SUFFIXES or path.name in _TEXTS) and not path.name.startswith("pytorch_model")


def is_hostile(name: str) -> bool:
    return "\\" in name or name.startswith("/") or ".." in PurePosixPath(name).parts


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
