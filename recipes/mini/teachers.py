"""The teacher: a kernel regression that also hears what two MobileNets of ImageNet see (Apache-2.0, tflite)."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from kept import keep_arrays, name_kept
from landmarks import squared_distances
from PIL import Image
from views import open_photograph

FILES = {
    "v1": "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
    "v2": "tf2_mobilenet_v2_1.0_224_ptq.tflite",
}
SIDE = 224


def teacher_features(folder: Path, photographs: list[Path], work: Path) -> dict[str, np.ndarray]:
    """Return the pooled last layer of both, (photographs, 1024) and (photographs, 1280); they are kept in `work`."""
    files = [folder / file for file in FILES.values()]
    cache = work / f"{name_kept('teachers', [*files, *photographs], ('teachers', 'views'))}.npz"
    if not cache.exists():
        views = [resize(np.asarray(open_photograph(photograph))) for photograph in photographs]
        found = {name: embed(folder / file, views) for name, file in FILES.items()}
        keep_arrays(cache, **found)
    return dict(np.load(cache))


def fit_teacher(kernel: np.ndarray, rated: np.ndarray, scores: np.ndarray, ridge: float = 0.2) -> np.ndarray:
    """Return what kernel ridge regression on the photographs `rated` says of every photograph.

    Args:
        kernel: between all photographs, (photographs, photographs).
        rated: places of those with ratings.
        scores: their ratings.
        ridge: added to the kernel's diagonal.

    """
    middle = scores.mean()
    dual = np.linalg.solve(kernel[np.ix_(rated, rated)] + ridge * np.eye(len(rated)), scores - middle)
    return np.asarray(kernel[:, rated] @ dual + middle)


def linear_kernel(features: np.ndarray) -> np.ndarray:
    """Return products of features (photographs, features), 1 on average for a photograph with itself."""
    products = features @ features.T
    return np.asarray(products / np.diag(products).mean())


def gaussian_kernel(features: np.ndarray, width: float) -> np.ndarray:
    """Return Gaussians of distances between features (photographs, features), `width` median squared ones wide."""
    own = torch.from_numpy(features)
    squared = squared_distances(own, own)
    return np.asarray(torch.exp(-squared / (width * squared.median())))


def resize(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (height, width, 3) as the MobileNets take them."""
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def embed(file: Path, views: Iterable[np.ndarray]) -> np.ndarray:
    """Return what the pooled last layer of a MobileNet says of views, (views, features)."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_path=str(file), num_threads=2, experimental_preserve_all_tensors=True)
    network.allocate_tensors()
    given, wanted = network.get_input_details()[0]["index"], _pooled(network)
    scale, zero = wanted["quantization"]
    found = []
    for view in views:
        network.set_tensor(given, view[None])
        network.invoke()
        found.append((network.get_tensor(wanted["index"]).astype(np.float32).ravel() - zero) * scale)
    return np.stack(found)


def _pooled(network):
    """Return the average over the picture: the output of one, a tensor before the classifier of the other."""
    output = network.get_output_details()[0]
    if list(output["shape"]) == [1, 1, 1, 1024]:
        return output
    return next(
        each
        for each in reversed(network.get_tensor_details())
        if list(each["shape"]) == [1, 1, 1, 1280] and "GlobalPool/Mean" in each["name"]
    )
