"""Published numbers, as the package carries them: each with its source, and with what its reader must know."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.resources import files

from aescli.benchmarking.records import Record

FILES = ("aesbench", "uniaa_bench", "unipercept_vqa", "iaa_correlation", "iqa_correlation", "humanbeauty")

# Which published benchmark stands beside which suite of ours.
_SUITES = {"aesbench": "AesBench", "uniaa": "UNIAA-Bench", "unipercept": "UniPercept-Bench", "ava": "AVA",
           "humanbeauty": "HumanBeauty"}  # fmt: skip
_OUT_OF_A_HUNDRED = frozenset({"aesbench", "uniaa_bench", "unipercept_vqa"})
_METRICS = {"PLCC": "plcc", "SRCC": "srcc", "KRCC": "krcc", "rmse_printed_as_mse": "mse_author_root",
            "sqrt_mae_printed_as_mae": "mae_author_root"}  # fmt: skip

ALWAYS_HIGH = "always-High baseline"  # of AesBench's assessment, as its own table of this package calls it

# Models that no paper trained for aesthetics, and GPT-4V first: whom every comparison is with.
GENERAL = ("GPT-4V", "GPT-4o", "GPT-4.1", "Gemini", "Claude")


def published(suites: Iterable[str] = ()) -> list[Record]:
    """Return published numbers of these suites (ours or theirs by name, any case), or of all.

    Accuracies are shares of 1, whatever the source prints; description scores stay on their 0 to 2.
    """
    wanted = {_SUITES.get(suite.lower(), suite).lower() for suite in suites}
    return [record for record in _records() if not wanted or record.suite.lower() in wanted]


def comparable(suite: str, split: str) -> list[Record]:
    """Return what `--baseline published` puts beside our numbers: of the suite, else of the labelled set's name.

    Where the suite has published numbers of this very split, no others. They stand under our names of suite and split,
    so that they are in the same table; a note tells theirs.
    """
    found = published([suite]) if suite in _SUITES else []
    chosen = [each for each in found if each.split.split(" (")[0] == split] or found or published([split])
    return [
        replace(each, suite=suite, split=split, note="; ".join(filter(None, (f"{each.suite} {each.split}", each.note))))
        for each in chosen
    ]


def versus_gpt4v() -> list[Record]:
    """Return the headline rows: overall numbers of the suites that GPT-4V or its successors were measured on."""
    overall = {"AesP/overall", "AesE/overall", "AesA/overall", "AesI/overall", "overall", "perception/overall"}
    suites = {"AesBench": overall, "UNIAA-Bench": overall, "UniPercept-Bench": {"overall"}}
    found = [
        each
        for each in published(suites)
        if each.metric.removesuffix("/accuracy") in suites[each.suite] and each.split != "VQA-IQA"
    ]
    rated = [each for each in published(("AVA", "PARA", "TAD66K", "FLICKR-AES", "ArtiMuse-10K")) if _is_srcc_of(each)]
    return found + rated


def is_general(model: str) -> bool:
    """Tell whether a model is one of the big general ones."""
    return model.startswith(GENERAL)


def _is_srcc_of(record: Record) -> bool:
    return record.metric == "srcc" and is_general(record.model)


def _records() -> Iterator[Record]:
    for name in FILES:
        file = files("aescli.benchmarking").joinpath("published", f"{name}.csv")
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()):
            yield _record(row, percent=name in _OUT_OF_A_HUNDRED)


def _record(row: dict[str, str], *, percent: bool) -> Record:
    value, metric = float(row["value"]), row["metric"]
    # AesI, and AesBench's overall that contains it, are no shares; neither are UNIAA's judged descriptions.
    share = percent and not metric.startswith(("AesI/", "description/"))
    share = share and (row["suite"], metric) != ("AesBench", "overall")
    if not percent and "percent" in row["note"]:
        value = value / 100
    return Record(
        suite=row["suite"],
        split=row["split"],
        model=row["model"],
        metric=_METRICS.get(metric, f"{metric}/accuracy" if share else metric),
        value=round(value / 100, 6) if share else value,
        source=row["source"],
        note=row["note"],
    )
