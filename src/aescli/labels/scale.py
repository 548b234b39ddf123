"""Whether labels lie in the range that they are said to have."""

from collections.abc import Sequence

from aescli.dimensions import Scale
from aescli.errors import UsageError
from aescli.labels.values import Labelled

WITHOUT = "without --range the labels' smallest and largest are taken"


def refuse_outside(
    pictures: Sequence[Labelled], dimensions: Sequence[str], scale: Scale, *, hint: str = WITHOUT
) -> None:
    """Refuse scores that lie outside of the range that they are said to have, by the user or by their set.

    Raises:
        UsageError: some do; the first three are named.

    """
    outside = [
        f"{picture.source}: {name} {picture.scores[name]:g}"
        for picture in pictures
        for name in dimensions
        if name in picture.scores and not scale.low <= picture.scores[name] <= scale.high
    ]
    if outside:
        more = f" and {len(outside) - 3} more" if len(outside) > 3 else ""
        raise UsageError(f"outside of --range {scale.low:g}:{scale.high:g}: {'; '.join(outside[:3])}{more}", hint=hint)
