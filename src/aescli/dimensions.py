"""Scales: how a model's native number becomes a score out of 10, and what each dimension means."""

from dataclasses import dataclass


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
    """One quality beside `overall`: out of 10, higher is better."""

    name: str
    meaning: str
