"""Lines made by hand: what inference would have left behind."""

from collections.abc import Mapping, Sequence

from aescli.benchmarking.lines import Line

BALANCE = {"A": "Balanced", "B": "Unbalanced"}


def replied(
    at: int, reply: str | None, answer: str = "A", options: Mapping[str, str] = BALANCE, **more: object
) -> Line:
    values: dict[str, object] = {
        "suite": "uniaa", "split": "QA", "item": str(at), "model": "m", "reply": reply, "answer": answer,
        "options": options, "groups": {"ability": "perception"}, **more,
    }  # fmt: skip
    return Line(**values)  # type: ignore[arg-type]


def scored(model: str, overall: Sequence[float | None], labels: Sequence[float], **more: object) -> list[Line]:
    lines = []
    for at, (value, label) in enumerate(zip(overall, labels, strict=True)):
        values: dict[str, object] = {
            "suite": "scores", "split": "set", "item": str(at), "model": model, "overall": value, "path": f"{at}.jpg",
            "labels": {"overall": label}, "label_range": (0.0, 10.0),
            "error_code": "" if value is not None else "corrupt", **more,
        }  # fmt: skip
        lines.append(Line(**values))  # type: ignore[arg-type]
    return lines
