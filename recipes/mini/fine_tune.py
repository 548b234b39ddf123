"""All layers of the network trained further, without a rating: they keep what they see, hear teachers, and tell damage.

Losses over views of photographs without ratings, several of each photograph in a step:

* kept: of a sound view every feature stays what the untouched network says of it;
* taught: late features say, through a line, what two MobileNets see of the same sound view, and of a copy that is
  tinted, tilted or cut what they see of the sound photograph (consistent views: Beyer et al., CVPR 2022);
* told: a hidden layer tells each kind of damage, copies above sound views (ranks of synthetic damage: Liu et al.,
  RankIQA, ICCV 2017).

Then come steps in which layers round as eight bits will (`rounding.py`) and give back what they say without it. A run
that was stopped goes on where it was last kept, and ends in the same weights.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from heads import ALL_DAMAGES, weigh_features
from kept import keep, name_kept
from landmarks import LATE
from network import SEEN, Backbone
from quantise import CALIBRATION, FIRST
from rounding import Rounding, first_layers, run_plain
from teachers import FILES, embed, resize
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, dropout, huber_loss, relu6, softplus
from views import Repeats, make_views, squeeze, view_names

REPEATS = Repeats(technical=1, others=3, softened=2)
NAMES = view_names(REPEATS)
SOUND = [at for at, name in enumerate(NAMES) if name not in ALL_DAMAGES]
TAUGHT = [at for at, name in enumerate(NAMES) if name in ("whole", "mirrored", "reframed")]  # softer views say less
COPIES = [at for at, name in enumerate(NAMES) if name in ALL_DAMAGES]
HARD = [at for at in COPIES if NAMES[at] in ("white balance", "tilt", "crop")]
KINDS = torch.tensor([ALL_DAMAGES.index(name) if name in ALL_DAMAGES else -1 for name in NAMES])
LATE_SEEN = torch.from_numpy(LATE[LATE < SEEN])
SHARD = 50  # photographs: 200 MB of views
KEPT_EVERY = 200  # steps


@dataclass(frozen=True)
class Tuning:
    """How the network is trained.

    Args:
        steps: with plain layers, then `rounded_steps` with rounding ones.
        photographs: of a step, four views of each: two sound ones, a hard copy, any copy.
        rate: of the last layers; each block before has `fall` times that of the next.
        kept, taught, consistent, told, level: weights of the losses; `consistent` of what is taught of copies, `level`
            of how strong a damage is, beside its order.
        axes: of what the MobileNets say.
        hidden: width of the layer that tells damage.
        rounded_steps, rounded_views, rounded_rate: of what comes then: steps, views of each, and how fast.

    """

    steps: int = 3400
    photographs: int = 8
    rate: float = 5e-5
    fall: float = 0.9
    kept: float = 3.0
    taught: float = 1.0
    consistent: float = 0.5
    told: float = 0.3
    level: float = 0.5
    axes: int = 256
    hidden: int = 128
    rounded_steps: int = 400
    rounded_views: int = 24
    rounded_rate: float = 1e-5


@dataclass(frozen=True)
class Lessons:
    """What is learnt from.

    Args:
        shards: files of views, (photographs, views, side, side, 3).
        strengths: of damage, (photographs, views).
        seen: what the untouched network says of sound views, (photographs, sound views, SEEN), standardised.
        said: what the MobileNets say of views that are taught, (photographs, taught views, axes), of a variance of 1.
        mean, scale: that standardise features, (SEEN,).

    """

    shards: list[np.ndarray]
    strengths: torch.Tensor
    seen: torch.Tensor
    said: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    def pixels(self, photographs: np.ndarray, views: np.ndarray) -> torch.Tensor:
        """Return views, (views, side, side, 3), of photographs, each named once for each view."""
        return torch.from_numpy(
            np.stack([self.shards[p // SHARD][p % SHARD, v] for p, v in zip(photographs, views, strict=True)])
        )


class Student(nn.Module):
    """The network, the line to what teachers say, and the layers that tell damage."""

    def __init__(self, lessons: Lessons, tuning: Tuning) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = Backbone().to(memory_format=torch.channels_last)
        known = lessons.seen[:, [SOUND.index(at) for at in TAUGHT]][..., LATE_SEEN].flatten(0, 1)
        self.line = nn.Parameter(_fit_line(known, lessons.said.flatten(0, 1)))
        self.hidden = nn.Linear(SEEN, tuning.hidden)
        self.out = nn.Linear(tuning.hidden, len(ALL_DAMAGES))
        spread = lessons.seen[:, 0].std(0)
        self.register_buffer("spread", spread.clamp(min=0.3 * float(spread.median())), persistent=False)

    def tell(self, seen: torch.Tensor) -> torch.Tensor:
        """Return how strong each damage is, (..., SEEN) to (..., damages)."""
        hidden = self.hidden(dropout(seen / self.spread, 0.4)).relu()
        return self.out(dropout(hidden, 0.4))


def tune(photographs: list[Path], teachers: Path, work: Path, tuning: Tuning, device: torch.device) -> Path:
    """Train the network on photographs without ratings, and return the file of its weights.

    Args:
        photographs: in an order of chance.
        teachers: the folder of the MobileNets.
        work: where views, what is said of them, and the training so far are kept: 14 GB for 3,335 photographs.
        tuning: how.
        device: the CPU, or a GPU.

    """
    files = [*(teachers / file for file in FILES.values()), *photographs]
    sources = (
        "damage",
        "fine_tune",
        "heads",
        "landmarks",
        "measures",
        "network",
        "pairs",
        "quantise",
        "rounding",
        "views",
    )
    folder = work / name_kept("tuned", files, sources, tuning)
    weights = folder / "weights.pt"
    if not weights.exists():
        folder.mkdir(parents=True, exist_ok=True)
        lessons = _prepare(photographs, teachers, folder, tuning)
        student = Student(lessons, tuning).to(device)
        _train(student, folder / "plain.pt", tuning.steps, _groups(student, tuning), _learner(student, lessons, tuning))
        untouched = deepcopy(student.backbone)
        rounding = Rounding(first_layers(_layers(student.backbone), FIRST))
        _watch(student.backbone, rounding, lessons, device)
        learn = _rounding_learner(student.backbone, untouched, rounding, lessons, tuning)
        groups = [{"params": list(student.backbone.parameters()), "lr": tuning.rounded_rate}]
        _train(student, folder / "rounded.pt", tuning.rounded_steps, groups, learn)
        keep(weights, lambda file: torch.save(student.backbone.cpu().state_dict(), file))
    return weights


def _learner(student: Student, lessons: Lessons, tuning: Tuning) -> Callable[[int], torch.Tensor]:
    """Return what gives the loss of a step."""
    count, at_once = len(lessons.strengths), tuning.photographs

    def learn(step: int) -> torch.Tensor:
        rng = np.random.default_rng((7, step))
        epoch, start = divmod(step * at_once, count // at_once * at_once)
        members = np.random.default_rng((3, epoch)).permutation(count)[start : start + at_once]
        drawn = [(rng.choice(TAUGHT), rng.choice(SOUND), rng.choice(HARD), rng.choice(COPIES)) for _ in members]
        views = np.array(drawn)  # (photographs, 4)
        device = student.line.device
        pixels = lessons.pixels(members.repeat(4), views.ravel()).to(device)
        seen = _see(student.backbone, pixels, lessons, run_mixed).unflatten(0, views.shape)
        where, columns = torch.from_numpy(members), torch.from_numpy(views)
        places = torch.tensor([SOUND.index(at) for at in views[:, :2].ravel()]).reshape(-1, 2)
        kept = (seen[:, :2] - lessons.seen[where[:, None], places].to(device)).square().sum(-1).mean()
        said = seen[..., LATE_SEEN] @ student.line
        whole = lessons.said[where, 0].to(device)
        same = lessons.said[where, [TAUGHT.index(at) for at in views[:, 0]]].to(device)
        taught = (said[:, 0] - same).square().sum(-1).mean()
        consistent = (said[:, 2] - whole).square().sum(-1).mean()
        strengths = lessons.strengths[where[:, None], columns[:, 2:]].to(device)
        told = _damage_loss(student.tell(seen), KINDS[columns[:, 2:]].to(device), strengths, tuning.level)
        return tuning.kept * kept + tuning.taught * taught + tuning.consistent * consistent + tuning.told * told

    return learn


def _damage_loss(told: torch.Tensor, kinds: torch.Tensor, strengths: torch.Tensor, level: float) -> torch.Tensor:
    """Each copy above the sound views of its photograph, and told how strong it is; nothing of sound views.

    Args:
        told: two sound views and two copies, (photographs, 4, damages).
        kinds: of the copies' damages, (photographs, 2).
        strengths: of these, (photographs, 2).
        level: how much strengths count.

    """
    copies = told[:, 2:].gather(-1, kinds[..., None])  # (photographs, 2, 1)
    beside = torch.stack([told[:, at].gather(1, kinds) for at in (0, 1)], -1)  # (photographs, 2 copies, 2 sound)
    order = softplus((0.5 - copies + beside) * 4.0).mean()
    errors = huber_loss(copies[..., 0], strengths, delta=0.5) + huber_loss(
        told[:, :2], torch.zeros_like(told[:, :2]), delta=0.5
    )
    return order + level * errors


def _rounding_learner(
    backbone: Backbone, untouched: Backbone, rounding: Rounding, lessons: Lessons, tuning: Tuning
) -> Callable[[int], torch.Tensor]:
    count = len(lessons.strengths)

    def learn(step: int) -> torch.Tensor:
        rng = np.random.default_rng((11, step))
        photographs, views = (rng.integers(0, most, tuning.rounded_views) for most in (count, len(NAMES)))
        pixels = lessons.pixels(photographs, views).to(next(backbone.parameters()).device)
        with torch.no_grad():
            wanted = _see(untouched, pixels, lessons, run_plain)
        return (_see(backbone, pixels, lessons, rounding) - wanted).square().sum(-1).mean()

    return learn


def _watch(backbone: Backbone, rounding: Rounding, lessons: Lessons, device: torch.device) -> None:
    """Let rounding see what goes through layers: as many photographs and copies as set the ranges of eight bits."""
    whole, spoilt = CALIBRATION
    photographs = np.array([*range(whole), *range(spoilt)]) % len(lessons.strengths)
    views = np.array([0] * whole + [COPIES[at % len(COPIES)] for at in range(spoilt)])
    with torch.no_grad():
        for at in range(0, len(views), 20):
            part = slice(at, at + 20)
            _see(backbone, lessons.pixels(photographs[part], views[part]).to(device), lessons, rounding)
    rounding.watching = False


def _train(student: Student, file: Path, steps: int, groups: list[dict], learn: Callable[[int], torch.Tensor]) -> None:
    """Take steps of AdamW, rates along a cosine to zero; go on from `file` where it is there."""
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    rates = [group["lr"] for group in optimiser.param_groups]
    begun = 0
    if file.exists():
        kept = torch.load(file, weights_only=True)
        student.load_state_dict(kept["student"])
        optimiser.load_state_dict(kept["optimiser"])
        begun = kept["step"]
    for step in range(begun, steps):
        torch.manual_seed(step)
        share = min(1.0, (step + 1) / 100) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * share
        loss = learn(step)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.backbone.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % KEPT_EVERY == 0 or step + 1 == steps:
            print(f"fine-tuning, {file.stem}: step {step + 1} of {steps}, loss {float(loss.detach()):.4f}", flush=True)
            state = {"student": student.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            keep(file, lambda part, state=state: torch.save(state, part))


def _groups(student: Student, tuning: Tuning) -> list[dict]:
    """Return parameters and their rates: the nearer to the pixels, the slower."""
    blocks = student.backbone.blocks
    parts = [student.backbone.stem, *blocks]
    found = [
        {"params": list(part.parameters()), "lr": tuning.rate * tuning.fall ** (len(blocks) - at)}
        for at, part in enumerate(parts)
    ]
    told = [*student.hidden.parameters(), *student.out.parameters()]
    return [
        *found,
        {"params": list(student.backbone.head.parameters()), "lr": tuning.rate},
        {"params": [student.line], "lr": 1e-4},
        {"params": told, "lr": 1e-3, "weight_decay": 0.05},
    ]


def run_mixed(layer: nn.Conv2d, x: torch.Tensor, *, clipped: bool) -> torch.Tensor:
    """Run a layer, in bfloat16 where it is a product of matrices: twice as fast on a CPU that has it."""
    if layer.kernel_size[0] > 1:
        return run_plain(layer, x, clipped=clipped)
    half = torch.bfloat16
    y = conv2d(x.to(half), layer.weight.to(half), layer.bias.to(half)).float()
    return relu6(y) if clipped else y


def _see(backbone: Backbone, pixels: torch.Tensor, lessons: Lessons, run: Callable) -> torch.Tensor:
    """Return standardised features, (views, SEEN), of pixels (views, side, side, 3)."""
    planes = pixels.permute(0, 3, 1, 2).float()  # in memory as they came: channels last
    seen = torch.cat(backbone.see(planes, avg_pool2d(planes, 2), run), 1)
    return (seen - lessons.mean.to(seen.device)) * lessons.scale.to(seen.device)


def _layers(backbone: Backbone) -> list[tuple[nn.Conv2d, bool]]:
    """Return all layers in the order in which they run, and whether they end in a ReLU6."""
    found = [(backbone.stem, True)]
    for block in backbone.blocks:
        found += [(block.expand, True)] if block.expand is not None else []
        found += [(block.depthwise, True), (block.project, False)]
    return [*found, (backbone.head, True)]


def _prepare(photographs: list[Path], teachers: Path, folder: Path, tuning: Tuning) -> Lessons:
    """Make what is learnt from, where it is not there yet."""
    starts = range(0, len(photographs), SHARD)
    missing = [(photographs[at : at + SHARD], folder / f"{at:06d}.npy") for at in starts]
    missing = [task for task in missing if not task[1].exists()]
    with get_context("spawn").Pool(2) as pool:
        for at, _ in enumerate(pool.imap(_make_shard, missing), 1):
            print(f"pictures to fine-tune on: {at} of {len(missing)} shards", flush=True)
    shards = [np.load(folder / f"{at:06d}.npy", mmap_mode="r") for at in starts]
    strengths = np.concatenate([np.load(folder / f"{at:06d}.strengths.npy") for at in starts])
    seen, said = folder / "seen.npy", folder / "said.npy"
    if not seen.exists():
        keep(seen, lambda file: _save(file, _see_sound(shards)))
    if not said.exists():
        taught = [resize(shard[at, view]) for shard in shards for at in range(len(shard)) for view in TAUGHT]
        embedded = np.concatenate([embed(teachers / file, taught) for file in FILES.values()], 1)
        keep(said, lambda file: _save(file, embedded.reshape(len(photographs), len(TAUGHT), -1)))
    known = np.load(seen)
    mean, scale = (torch.from_numpy(each).float() for each in weigh_features(known[:, 0]))
    standard = (torch.from_numpy(known) - mean) * scale
    return Lessons(shards, torch.from_numpy(strengths), standard, _main_axes(np.load(said), tuning.axes), mean, scale)


def _make_shard(task: tuple[list[Path], Path]) -> None:
    photographs, file = task
    made = [list(make_views(photograph, REPEATS)) for photograph in photographs]
    strengths = np.array([[strength for _, strength in views] for views in made], np.float32)
    keep(file.with_suffix(".strengths.npy"), lambda part: _save(part, strengths))
    keep(file, lambda part: _save(part, np.stack([[squeeze(view) for view, _ in views] for views in made])))


@torch.no_grad()
def _see_sound(shards: list[np.ndarray]) -> np.ndarray:
    """Return what the untouched network says of sound views, (photographs, sound views, SEEN)."""
    backbone = Backbone().to(memory_format=torch.channels_last)
    found = []
    for shard in shards:
        for views in shard:
            planes = torch.from_numpy(views[SOUND]).permute(0, 3, 1, 2).float()
            found.append(torch.cat(backbone.see(planes, avg_pool2d(planes, 2), run_plain), 1).numpy())
    return np.stack(found)


def _main_axes(embedded: np.ndarray, axes: int) -> torch.Tensor:
    """Return embeddings (photographs, views, features) on their main axes, of one variance in all."""
    whole = embedded[:, 0]
    standard = torch.from_numpy((embedded - whole.mean(0)) / (whole.std(0) + 1e-6)).float()
    torch.manual_seed(0)
    _, _, directions = torch.pca_lowrank(standard[:, 0], min(axes, len(whole)), center=False, niter=4)
    placed = standard @ directions
    return placed / placed[:, 0].square().sum(1).mean().sqrt()


def _fit_line(known: torch.Tensor, wanted: torch.Tensor, ridge: float = 3e-4) -> torch.Tensor:
    """Return the ridge regression of (views, features) to (views, axes)."""
    products = known.T @ known / len(known)
    return torch.linalg.solve(products + ridge * torch.eye(len(products)), known.T @ wanted / len(known))


def _save(file: Path, values: np.ndarray) -> None:
    with file.open("wb") as stream:
        np.save(stream, values)
