"""What a benchmark says: one record for each number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aescli.benchmarking.lines import Line

RECORDED = "recorded: "  # begins the source of what was computed here from a file of lines
COLUMNS = ("suite", "split", "model", "metric", "value", "low", "high", "n", "source", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One number.

    Args:
        suite: which benchmark.
        split: which of its parts, or the labelled set's name.
        model: whose number it is; `baseline: ...` for what needs no model, `A - B` for a paired difference.
        metric: `srcc`, `accuracy`, ...; with a part before it as in `composition/srcc`.
        value: None where it is not defined.
        low: of the 95% interval.
        high: of the 95% interval.
        n: items that it was computed on; None where a source does not say.
        source: where a published number stands, or `recorded: FILE`; empty for what was measured here.
        note: what a reader must know beside the number.

    """

    suite: str
    split: str
    model: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    source: str = ""
    note: str = ""

    def is_published(self) -> bool:
        """Tell whether it was printed elsewhere, and not computed here."""
        return bool(self.source) and not self.source.startswith(RECORDED)


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Records, and the lines that they were computed from.

    Attributes:
        records: in the order in which a table shows them.
        lines: the last line of each item, by model; for pictures of the numbers.
        notes: what is said once.

    """

    records: tuple[Record, ...]
    lines: Mapping[str, Sequence[Line]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
