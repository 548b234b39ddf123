"""Scales: how a model's native number becomes a score out of 10, and what each dimension means."""

from collections.abc import Mapping
from dataclasses import dataclass

# What HumanAesExpert's Expert head says, in the order of its outputs, and which of them each parent is made of.
HUMAN_DIMENSIONS = (
    "facial_brightness", "facial_feature_clarity", "facial_skin_tone", "facial_structure", "facial_contour_clarity",
    "facial_aesthetic", "outfit", "body_shape", "looks", "environment", "general_appearance", "comprehensive",
)  # fmt: skip
HUMAN_TREE: Mapping[str, tuple[str, ...]] = {
    "comprehensive": ("environment", "facial_aesthetic", "general_appearance"),
    "facial_aesthetic": HUMAN_DIMENSIONS[:5],
    "general_appearance": ("outfit", "body_shape", "looks"),
}

# Columns of a row that are no dimension; `docs/rows.md`.
ROW_COLUMNS = frozenset({
    "path", "status", "overall", "raw", "model", "revision", "backend", "read_out", "flags", "error_code", "error",
    "path_b64", "levels", "dims",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """A native range `low` to `high`, higher is better.

    Raises:
        ValueError: the range is empty or not finite.

    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not float("-inf") < self.low < self.high < float("inf"):
            raise ValueError(f"a range runs from a smaller to a larger number, not {self}")

    def out_of_ten(self, raw: float) -> float:
        """Map `raw` to 0-10 and clip it; a native range of 1-10 stays as it is."""
        if (self.low, self.high) != (1.0, 10.0):
            raw = (raw - self.low) / (self.high - self.low) * 10.0
        return min(max(raw, 0.0), 10.0)

    def __str__(self) -> str:
        return f"{self.low:g}-{self.high:g}"


@dataclass(frozen=True, slots=True)
class Dimension:
    """One quality beside `overall`: out of 10, higher is better.

    Args:
        name: as `--dims` takes it.
        meaning: in a few words.
        scale: native range of one that was learnt from ratings; None for what comes out of 10.

    """

    name: str
    meaning: str
    scale: Scale | None = None
