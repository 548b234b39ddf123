"""Model cards: what is known of each model, one row for each.

Facts come from the owners' files and from published tables; None and empty mean unknown, and nothing is filled in.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from aescli.dimensions import HUMAN_DIMENSIONS, Dimension, Scale

CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Files on the Hub. `revision` is a commit that is known; None is resolved once by `aes models pull`."""

    repo: str
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is known of one model. None and empty mean unknown: nothing is filled in.

    A model that `trains_only` is a base without heads. One that does not write JSON is asked one question for each
    field of a critique. `exact` models see pictures that were decoded in full, as they were trained; `warning` is said
    once a run; `fit` says how the pictures of an ONNX graph are brought to its size (`aescli.models.fitting`).
    """

    id: str
    family: str
    title: str
    scale: Scale
    sources: tuple[Source, ...] = ()
    folder: Path | None = None
    revision: str = ""
    read_out: str = "score"
    dimensions: tuple[Dimension, ...] = ()
    preprocessing: str | None = None
    size_bytes: int | None = None
    code_license: str | None = None
    weights_license: str | None = None
    base_license: str | None = None
    non_commercial: bool | None = None
    trained_on: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    needs: str = ""
    note: str = ""
    exact: bool = False
    writes_json: bool = True
    trains_only: bool = False
    warning: str = ""
    fit: str = "squeeze"

    def dimension_names(self) -> tuple[str, ...]:
        """Return the dimensions beside `overall`, in the card's order."""
        return tuple(dimension.name for dimension in self.dimensions)


JUDGES_PEOPLE = (
    "for pictures of people only (elsewhere its scores were at chance level); it judges people's faces, skin, bodies, "
    "outfits and looks: never use it to reject people"
)

_HUMANAESEXPERT_1B = ModelCard(
    id="humanaesexpert-1b",
    family="internvl",
    title="HumanAesExpert 1B: three heads and a MetaVoter on InternVL2-1B",
    scale=Scale(0, 1),
    sources=(Source(repo="HumanBeauty/HumanAesExpert-1B", revision="b8f7ee3f3a1217ecd331fd6d57b6959f5c0da183"),),
    read_out="metavoter",
    dimensions=tuple(Dimension(name, name.replace("_", " ")) for name in HUMAN_DIMENSIONS),
    preprocessing="1 to 12 tiles of 448 px and a thumbnail, bicubic, ImageNet mean and std",
    size_bytes=1_876_417_886,
    code_license="MIT",
    weights_license="MIT",
    non_commercial=False,
    trained_on=("HumanBeauty-58K", "HumanBeauty-50K"),
    leaks=("AVA", "TAD66K", "MEBeauty"),
    needs="torch",
    note="orientation is applied first, which the original does not do; unknown to every paper: widths and "
    "activations of the heads, weights of the levels, where the heads read",
    exact=True,
    warning=JUDGES_PEOPLE,
)

_Q_REALIGN_MINI = ModelCard(
    id="q-realign-mini",
    family="chat",
    title="Q-ReAlign Mini 0.8B: level read-out",
    scale=Scale(0, 1),
    sources=(Source(repo="q-future/Q-ReAlign-Mini-0.8B"),),
    read_out="levels",
    exact=True,
    size_bytes=2_200_000_000,
    code_license="MIT",
    weights_license="Apache-2.0",
    non_commercial=False,
    trained_on=("KonIQ", "SPAQ", "KADID", "AGIQA-20K", "AVA", "LSVQ"),
    leaks=("AVA", "KonIQ", "SPAQ", "AGIQA-20K"),
    needs="torch",
    note="published on AVA: SRCC .797, PLCC .794",
)

CARDS: tuple[ModelCard, ...] = (
    _HUMANAESEXPERT_1B,
    replace(
        _HUMANAESEXPERT_1B,
        id="humanaesexpert-8b",
        title="HumanAesExpert 8B: three heads and a MetaVoter on InternVL2-8B",
        sources=(Source(repo="HumanBeauty/HumanAesExpert-8B"),),
        size_bytes=None,
    ),
    *(
        ModelCard(
            id=name,
            family="internvl",
            title=f"{repo.partition('/')[2]}: a base to train, which has no heads of its own",
            scale=Scale(0, 1),
            sources=(Source(repo=repo),),
            read_out="lm",
            preprocessing=_HUMANAESEXPERT_1B.preprocessing,
            needs="torch",
            note="aes train --recipe multihead",
            exact=True,
            trains_only=True,
        )
        for name, repo in (
            ("internvl2-1b", "OpenGVLab/InternVL2-1B"),
            ("internvl2-2b", "OpenGVLab/InternVL2-2B"),
            ("internvl2-8b", "OpenGVLab/InternVL2-8B"),
        )
    ),
    ModelCard(
        id="llava-1.5-7b",
        family="llava",
        title="LLaVA-1.5-7B in its released layout: a base to train, and a zero-shot critic",
        scale=Scale(0, 1),
        sources=(Source(repo="liuhaotian/llava-v1.5-7b"),),
        read_out="levels",
        preprocessing="padded to a square, 336 px, CLIP mean and std",
        exact=True,
        base_license="Llama 2 community licence",
        needs="torch",
        writes_json=False,
        note="aes train --recipe instruct; not tuned on aesthetic ratings",
    ),
    ModelCard(
        id="aesexpert-7b",
        family="llava",
        title="AesExpert: LLaVA-1.5-7B tuned on AesMMIT, critiques and a level read-out",
        scale=Scale(0, 1),
        sources=(
            Source(
                repo="qyuan/AesMMIT_LLaVA_v1.5_7b_240325",
                revision="896973238264ba52730e47188233cd220b0e7a6e",
            ),
        ),
        read_out="levels",
        preprocessing="padded to a square, 336 px, CLIP mean and std",
        exact=True,
        size_bytes=14_100_000_000,
        code_license="Apache-2.0",
        base_license="Llama 2 community licence",
        trained_on=("AesMMIT",),
        needs="torch",
        writes_json=False,
        note="numbers are weak beside the words: a critic first",
    ),
    _Q_REALIGN_MINI,
    replace(
        _Q_REALIGN_MINI,
        id="q-realign-lite",
        title="Q-ReAlign Lite 4B: level read-out",
        sources=(Source(repo="q-future/Q-ReAlign-Lite-4B"),),
        size_bytes=None,
        note="published on AVA: SRCC .814, PLCC .804",
    ),
    replace(
        _Q_REALIGN_MINI,
        id="q-realign-pro",
        title="Q-ReAlign Pro 9B: level read-out",
        sources=(Source(repo="q-future/Q-ReAlign-Pro-9B"),),
        size_bytes=None,
        note="published on AVA: SRCC .832, PLCC .828",
    ),
    ModelCard(
        id="laion-v2",
        family="clip_head",
        title="LAION aesthetic predictor v2: a linear head on CLIP ViT-L/14",
        scale=Scale(1, 10),
        sources=(
            Source(
                repo="ttj/sac-logos-ava1-l14-linearMSE",
                revision="1e77fa05081323d99725fc40a9bf9f88180490e7",
            ),
            Source(
                repo="openai/clip-vit-large-patch14",
                revision="32bd64288804d66eefd0ccbe215aa642df71cc41",
            ),
        ),
        preprocessing="short side 224 px, bicubic, centre crop: the edges of a 3:2 photo are never seen",
        code_license="Apache-2.0",
        trained_on=("SAC", "LOGOS", "AVA"),
        leaks=("AVA",),
        needs="torch",
        note="unbounded, typically 4 to 7",
    ),
    ModelCard(
        id="qwen3-vl-4b",
        family="chat",
        title="Qwen3-VL 4B Instruct: zero-shot level read-out and critiques",
        scale=Scale(0, 1),
        sources=(Source(repo="Qwen/Qwen3-VL-4B-Instruct"),),
        read_out="levels",
        exact=True,
        size_bytes=8_900_000_000,
        code_license="Apache-2.0",
        weights_license="Apache-2.0",
        non_commercial=False,
        needs="torch",
        note="not tuned on aesthetic ratings",
    ),
)
