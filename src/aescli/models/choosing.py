"""Which code runs a checkpoint of HumanAesExpert: ours, or its own in a worker.

Ours runs what states every choice of its heads in a card of ours. For released weights those choices are not
published, so their own code runs until `aes models compare` has found that ours says the same.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aescli.cards import CARD_FILE, ModelCard
from aescli.errors import UsageError, WeightsUnavailable
from aescli.home import aes_home
from aescli.models.base import LoadOptions, Scorer
from aescli.models.read_outs import choose_read_out
from aescli.output import replace_file
from aescli.runtime import need_torch

_UNVERIFIED = "unverified"


def load(card: ModelCard, folder: Path, dimensions: tuple[str, ...], options: LoadOptions) -> Scorer:
    """Load a checkpoint folder with the code that may run it.

    Raises:
        UsageError: an option asks for what this checkpoint does not have.
        WeightsUnavailable: something is missing; the hint says what brings it.

    """
    need_torch()
    from aescli.models import humanaesexpert, remote_code

    if states_its_choices(folder):
        if options.backend == "worker":
            raise UsageError(f"{card.id} brings no code of its own", hint="--backend native")
        return humanaesexpert.load(card, folder, dimensions, options)
    # Their own code has no read-out of levels alone, so nothing can confirm ours.
    verified = is_verified(remote_code.commit_of(card, folder)) and choose_read_out(card, options.read_out) != "lm"
    if options.backend == "worker" or (options.backend == "auto" and not verified and not options.unverified):
        return remote_code.load(card, folder, dimensions, options)
    if not verified and not options.unverified:
        raise UsageError(
            f"nothing has confirmed yet that our code says what {card.id} says",
            hint=f"aes models compare {card.id}   or --unverified, which flags every row",
        )
    return humanaesexpert.load(card, folder, dimensions, options, () if verified else (_UNVERIFIED,))


def states_its_choices(folder: Path) -> bool:
    """Tell whether a folder has a card of ours, which leaves nothing of its heads open."""
    return (folder / CARD_FILE).is_file()


def may_state_choices(card: ModelCard, folder: Path) -> bool:
    """Tell whether what our code takes the heads for is known, by a card of ours or by a comparison."""
    from aescli.models import remote_code

    return states_its_choices(folder) or is_verified(remote_code.commit_of(card, folder))


def is_verified(commit: str) -> bool:
    """Tell whether `aes models compare` found that our code says what this checkpoint's own code says."""
    verdict = read_verdicts().get(commit)
    return bool(verdict and verdict["same"])


def read_verdicts() -> dict[str, dict[str, Any]]:
    """Return what was compared, by commit.

    Raises:
        WeightsUnavailable: the file cannot be read: a guess would defeat it.

    """
    try:
        verdicts: dict[str, dict[str, Any]] = json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"{_file()} cannot be read: {error}", hint="move it away and compare again") from error
    return verdicts


def record_verdict(commit: str, verdict: Mapping[str, Any]) -> None:
    """Keep what was found for a commit."""
    verdicts = {**read_verdicts(), commit: dict(verdict)}
    _file().parent.mkdir(parents=True, exist_ok=True)
    with replace_file(_file()) as stream:
        stream.write(json.dumps(verdicts, indent=2).encode())


def _file() -> Path:
    return aes_home() / "verdicts.json"
