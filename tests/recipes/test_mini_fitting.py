"""The heads of `mini` on features that were drawn, with a taste that can be learnt, and the graph that holds them."""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from aescli.models.onnx import AT_ONCE

pytest.importorskip("torch")
pytest.importorskip("onnx")

damage: Any = importlib.import_module("damage")
damage_head: Any = importlib.import_module("damage_head")
fitting: Any = importlib.import_module("fitting")
graph: Any = importlib.import_module("graph")
heads: Any = importlib.import_module("heads")
landmarks: Any = importlib.import_module("landmarks")
network: Any = importlib.import_module("network")
ratings: Any = importlib.import_module("ratings")
train: Any = importlib.import_module("train")
usual: Any = importlib.import_module("usual")
views: Any = importlib.import_module("views")

RATED, UNRATED, THEMES = 60, 72, 8
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> Any:
    """Return everything fitted to photographs of twelve numbers, of which the first three are what people like."""
    chance = np.random.default_rng(0)
    spread = chance.normal(size=(12, network.FEATURES)).astype(np.float32)
    damages = {each.name: chance.standard_normal(network.FEATURES, np.float32) for each in damage.DAMAGES}

    def draw(count: int, repeats: Any) -> tuple[np.ndarray, Any]:
        names = views.view_names(repeats)
        inner = chance.normal(size=(count, 12)).astype(np.float32)
        seen = np.repeat((inner @ spread)[:, None], len(names), 1)  # (photographs, views, FEATURES)
        seen += 0.2 * chance.standard_normal(seen.shape, np.float32)
        strengths = np.zeros(seen.shape[:2], np.float32)
        for at, name in enumerate(names):
            if name in damages:
                strengths[:, at] = chance.uniform(0.5, 1.5, count)
                seen[:, at] += 2.0 * strengths[:, at, None] * damages[name]
        return inner, views.Views(seen.astype(np.float16), strengths, names)

    inner, rated = draw(RATED, views.Repeats(3, 3, in_order=True))
    _, unrated = draw(UNRATED, views.Repeats(1, 4, softened=3))
    scores = 4.0 + inner[:, :3].sum(1) * 0.63  # spread as OASIS's are, which the heights of ramps are set for
    themes = np.array([f"theme {at % THEMES}" for at in range(RATED)])
    labelled = ratings.Ratings([Path(f"{at}.jpg") for at in range(RATED)], scores, themes, "")
    others = {"v1": chance.normal(size=(RATED + UNRATED, 20))}
    device = importlib.import_module("torch").device("cpu")
    return fitting.Fitting(labelled, rated, unrated, others, heads.Strengths(), device)


def test_taste_is_learnt_and_damage_lowers_it(model: Any) -> None:
    held_out = train.judge_held_out(model, 0)
    assert spearmanr(held_out[:, 0], model.ratings.scores).statistic > 0.5
    measured = train.measure_damage(model, held_out)
    assert set(measured["technical"]) == {each.name for each in damage.DAMAGES if each.technical}
    assert min(strong for _, _, strong in measured["technical"].values()) > 0.9
    assert np.mean([strong for _, _, strong in measured["overall"].values()]) > 0.8


def test_what_damage_takes_leaves_ratings_on_the_raters_scale(model: Any) -> None:
    overall = model.overall(np.arange(RATED))
    whole = model.seen_rated[:, 0]
    told, usual = whole.told.numpy(), whole.usual.numpy()
    assert overall.ramps(told, usual).mean() == pytest.approx(0, abs=1e-6)
    assert overall.ramps(told + 10, usual).mean() > 1


def test_damage_is_told_by_heads_that_never_saw_the_photograph(model: Any) -> None:
    torch = importlib.import_module("torch")
    schedule = damage_head.Schedule(epochs=2, photographs=8, beside=4)
    sets = [
        damage_head.Spoilt(
            each.names,
            torch.from_numpy(each.strengths.copy()),
            torch.ones(each.strengths.shape, dtype=torch.bool),
            model.space.place(each.features),
        )
        for each in (model.unrated, model.rated)
    ]
    folds = ratings.folds_of(model.ratings.themes, 0) % 2
    first = damage_head.cross_fit(*sets, folds, schedule)
    sets[1].strengths[folds == 0] = sets[1].strengths[folds == 0].flip(0)
    again = damage_head.cross_fit(*sets, folds, schedule)
    assert torch.equal(first[folds == 0], again[folds == 0])
    assert not torch.equal(first[folds == 1], again[folds == 1])


def test_what_ramps_take_of_a_whole_kind_is_usual(model: Any) -> None:
    """Half of the photographs look spoilt to a layer for what they show; copies of theirs are told all the same."""
    torch = importlib.import_module("torch")
    places = torch.from_numpy(model.landmarks.places)
    root = landmarks.inverse_root(model.landmarks.nearness(places)) * model.strengths.nearness
    sets = [heads.clean_views(each, seen) for each, seen in
            ((model.unrated, model.seen_unrated), (model.rated, model.seen_rated))]  # fmt: skip
    axis = sets[0].placed[:, 0, 0].median()
    taken = [(each.placed[:, 0, :1] > axis).double().numpy() for each in sets]
    found = usual.fit_usual(*sets, taken, root)(model.seen_rated).numpy()
    of_kind, of_others = (found[taken[1][:, 0] == kind, 0, 0].mean() for kind in (1.0, 0.0))
    assert of_kind - of_others > 0.1
    nothing = usual.fit_usual(*sets, [np.zeros_like(each) for each in taken], root)(model.seen_rated)
    assert np.abs(nothing.numpy()).max() < 1e-6


def test_what_is_usual_is_told_by_photographs_of_other_folds(model: Any) -> None:
    folds = ratings.folds_of(model.ratings.themes, fitting.DAMAGE_SEED)
    kept = model.seen_rated
    root = model._root(np.arange(len(model.landmarks.places)))
    before = model._cross_usual(folds, root).usual
    told = kept.told.clone()
    told[folds == 0] += 3.0
    try:
        model.seen_rated = dataclasses.replace(kept, told=told)
        after = model._cross_usual(folds, root).usual
    finally:
        model.seen_rated = kept
    assert (before[folds == 0] == after[folds == 0]).all()
    assert (before[folds == 1] != after[folds == 1]).any()


def test_a_head_learns_nothing_from_copies_that_bare_corners_tell(model: Any) -> None:
    torch = importlib.import_module("torch")
    placed = model.space.place(model.unrated.features)
    copies = [at for at, name in enumerate(model.unrated.names) if name == "tilt"]
    counted = torch.ones(placed.shape[:2], dtype=torch.bool)
    counted[:, copies[0]] = False
    changed = placed.clone()
    changed[:, copies[0]] += 1.0
    strengths = torch.from_numpy(model.unrated.strengths.copy())
    schedule = damage_head.Schedule(epochs=1, photographs=8, beside=4)

    def fit(seen: Any) -> Any:
        spoilt = damage_head.Spoilt(model.unrated.names, strengths, counted, seen)
        return damage_head.fit_damage_heads(spoilt, spoilt, schedule)

    for one, other, told in zip(fit(placed), fit(changed), damage_head.HEADS, strict=True):
        # To every other head it is a photograph spoilt otherwise, of which no less is to be said.
        assert np.array_equal(one.hidden, other.hidden) == (told.damages == ("tilt",))


def test_a_heads_loss_falls_from_epoch_to_epoch(model: Any) -> None:
    for head in model.damages:
        assert len(head.curve) == damage_head.Schedule().epochs
        assert head.curve[-1] < 0.9 * head.curve[0]


def test_a_fit_hears_no_rating_that_it_was_not_given(model: Any) -> None:
    learnt, kept = np.arange(RATED - 10), model.ratings.scores.copy()
    first = model.overall(learnt)(model.seen_rated)
    try:
        model.ratings.scores[RATED - 10 :] = 1.0
        again = model.overall(learnt)(model.seen_rated)
    finally:
        model.ratings.scores[:] = kept
    assert np.array_equal(first, again)


def test_the_graph_says_what_the_heads_say(model: Any, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    bare = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["pixels"], ["features"])],
        "features",
        [onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["batch", network.FEATURES])],
        [onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["batch", network.FEATURES])],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    proto = onnx.helper.make_model(bare, opset_imports=opset, ir_version=10)
    onnx.helper.set_model_props(proto, {"of the network": "stays"})
    onnx.save(proto, tmp_path / "network.onnx")
    overall = model.overall(np.arange(RATED))
    ramps = dataclasses.replace(overall.ramps, heights=overall.ramps.heights + 0.2)  # each of them takes something
    overall = dataclasses.replace(overall, ramps=ramps)
    graph.write_graph(tmp_path / "network.onnx", model, overall, tmp_path / "out" / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {AT_ONCE: str(graph.ON_CPU), "of the network": "stays"}
    features = model.rated.features.reshape(-1, network.FEATURES).astype(np.float32)
    rating, learnt = session.run(None, {"pixels": features})
    expected = overall(model.see(features))
    # Landmarks and hidden weights are kept in half precision.
    assert np.abs(rating - expected).max() < 0.02 * np.ptp(expected)
    logit = model.logit(model.space.place(features)).numpy()
    assert learnt[:, 0] == pytest.approx(10 / (1 + np.exp(-logit)), abs=0.02)


def test_numbers_of_a_picture_do_not_depend_on_those_beside_it() -> None:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    chance = np.random.default_rng(0)
    values = chance.uniform(0.1, 9.0, (7, 50, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Mul", ["pixels", "two"], ["doubled"]),
        helper.make_node("ReduceMean", ["doubled", "first"], ["means"], keepdims=0),
        helper.make_node("ReduceSum", ["means", "first"], ["sums"], keepdims=1),
        helper.make_node("Log", ["means"], ["logs"]),
    ]
    shapes: dict[str, list[str | int | None]] = {
        "doubled": ["batch", 50, 3],
        "means": ["batch", 3],
        "sums": ["batch", 1],
        "logs": ["batch", 3],
    }
    info = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    made = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 50, 3])],
        [info["sums"], info["logs"]],
        [
            numpy_helper.from_array(np.array(2, np.float32), "two"),
            numpy_helper.from_array(np.array([1], np.int64), "first"),
        ],
        value_info=[info["doubled"], info["means"]],
    )
    graph.round_alike(made)
    # Numbers of a row are added in one order anyway, and are left as they were.
    kinds = [node.op_type for node in made.node]
    assert kinds == ["Mul", "Cast", "ReduceMean", "Cast", "ReduceSum", "Cast", "Log", "Cast"]
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(whole)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    sums, logs = session.run(None, {"pixels": values})
    means = 2 * values.astype(np.float64).mean(1)
    assert logs == pytest.approx(np.log(means), rel=1e-6)
    assert sums[:, 0] == pytest.approx(means.sum(1), rel=1e-6)
    for at in range(7):
        alone = session.run(None, {"pixels": values[at : at + 1]})
        assert np.array_equal(alone[0][0], sums[at])
        assert np.array_equal(alone[1][0], logs[at])


def test_logarithms_of_which_none_are_left_over_stay_in_single_precision() -> None:
    onnx: Any = importlib.import_module("onnx")
    onnxruntime: Any = importlib.import_module("onnxruntime")
    of = onnx.helper.make_tensor_value_info
    shape = ["batch", 3, 8, 8]
    whole, some = (
        of(name, onnx.TensorProto.FLOAT, sizes) for name, sizes in (("x", shape), ("y", ["batch", 3, 8, "n"]))
    )
    made = onnx.helper.make_graph(
        [onnx.helper.make_node("Log", ["x"], ["logs"]), onnx.helper.make_node("Log", ["y"], ["others"])],
        "logs",
        [whole, some],
        [of("logs", onnx.TensorProto.FLOAT, shape), of("others", onnx.TensorProto.FLOAT, ["batch", 3, 8, "n"])],
        value_info=[whole, some],
    )
    graph.round_alike(made)
    assert [node.op_type for node in made.node] == ["Log", "Cast", "Log", "Cast"]
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).uniform(0.1, 300, (7, 3, 8, 8)).astype(np.float32)
    together = session.run(None, {"x": x, "y": x})
    for at in range(7):
        for alone, beside in zip(session.run(None, {"x": x[at : at + 1], "y": x[at : at + 1]}), together, strict=True):
            assert np.array_equal(alone[0], beside[at])


def test_short_rows_are_added_alike_wherever_they_begin() -> None:
    onnx: Any = importlib.import_module("onnx")
    onnxruntime: Any = importlib.import_module("onnxruntime")
    single = onnx.TensorProto.FLOAT
    planes = onnx.helper.make_tensor_value_info("planes", single, ["batch", 2, 13, 13])
    over = [onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "over")]
    nodes = [onnx.helper.make_node("ReduceSum", ["planes", "over"], ["sums"], keepdims=0)]
    sums = onnx.helper.make_tensor_value_info("sums", single, ["batch", 2])
    made = onnx.helper.make_graph(nodes, "sums", [planes], [sums], over, value_info=[planes])
    graph.round_alike(made)
    assert [node.op_type for node in made.node] == ["Cast", "ReduceSum", "Cast"]
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values = np.random.default_rng(0).uniform(0, 1, (7, 2, 13, 13)).astype(np.float32)
    (together,) = session.run(None, {"planes": values})
    for at in range(7):
        assert np.array_equal(session.run(None, {"planes": values[at : at + 1]})[0][0], together[at])


def test_late_features_are_picked_run_by_run() -> None:
    runs = np.split(np.arange(network.FEATURES), np.cumsum(graph._measure_runs())[:-1])
    assert np.concatenate(runs[1::2]).tolist() == landmarks.LATE.tolist()


def test_nearness_is_a_kernel_and_its_root_gives_it_back(model: Any) -> None:
    torch = importlib.import_module("torch")
    places = torch.from_numpy(model.landmarks.places)
    near = model.landmarks.nearness(places)
    assert near.diagonal().numpy() == pytest.approx(1.0, abs=1e-4)
    assert (near - near.T).abs().max() < 1e-4
    numbers = near @ landmarks.inverse_root(near)
    assert (numbers @ numbers.T - near).abs().max() < 1e-2


def test_folds_never_split_a_theme(model: Any) -> None:
    themes = model.ratings.themes
    for seed in range(5):
        folds = ratings.folds_of(themes, seed)
        assert all(len(set(folds[themes == name])) == 1 for name in set(themes))
        assert set(folds) == set(range(ratings.FOLDS))


def test_within_a_theme_the_subject_counts_nothing(model: Any) -> None:
    labelled, small = model.ratings, RATED // THEMES
    order = np.unique(labelled.themes, return_inverse=True)[1]
    assert ratings.within_themes(labelled.scores + 100.0 * order, labelled, small) == pytest.approx(1.0)
    assert ratings.within_themes(-labelled.scores + 100.0 * order, labelled, small) == pytest.approx(-1.0)
