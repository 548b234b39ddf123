"""Which sidecar a picture's marks belong in: the one it has, else one in the style of the folder or of its format."""

import os
from collections.abc import Sequence

from aescli.xmp.files import SUFFIX, is_raw, list_sidecars, owns_short_name

AUTO, DARKTABLE, ADOBE = "auto", "darktable", "adobe"
STYLES = (AUTO, DARKTABLE, ADOBE)


def choose_sidecar(path: str, style: str, folder: Sequence[str]) -> str:
    """Return the sidecar that is to be changed or made.

    Args:
        path: of the picture.
        style: `darktable` is `x.jpg.xmp`, `adobe` is `x.xmp`; `auto` takes the sidecar that is there, else the style of
            the folder's other sidecars, else `x.xmp` for a camera's raw file and `x.jpg.xmp` for everything else.
        folder: names of all files beside the picture.

    Raises:
        ValueError: it has sidecars of both styles, or one that other pictures would share.

    """
    there = list_sidecars(path)
    short, long = f"{os.path.splitext(path)[0]}{SUFFIX}", f"{path}{SUFFIX}"  # noqa: PTH122 - bytes stay exact
    if style == AUTO and len(there) > 1:
        raise ValueError("it has sidecars of both styles: --sidecar says which one counts")
    if style == AUTO and there:
        chosen = there[0]
    elif style == ADOBE or (style == AUTO and _uses_short_names(path, folder)):
        chosen = next((each for each in there if _is_short(each, path)), short)
    else:
        chosen = next((each for each in there if not _is_short(each, path)), long)
    if _is_short(chosen, path):
        _refuse_shared(path, folder)
    return chosen


def _uses_short_names(path: str, folder: Sequence[str]) -> bool:
    """Tell the style of a folder: that of its sidecars where they agree, else the custom for a format."""
    sidecars = [name for name in folder if name.lower().endswith(SUFFIX)]
    names = set(folder)
    long = sum(name[: -len(SUFFIX)] in names for name in sidecars)
    if sidecars and long in (0, len(sidecars)):
        return long == 0 and owns_short_name(path) and not _sharing(path, folder)
    return is_raw(path)


def _is_short(sidecar: str, path: str) -> bool:
    return len(sidecar) <= len(path)


def _refuse_shared(path: str, folder: Sequence[str]) -> None:
    if not owns_short_name(path):
        raise ValueError("its x.xmp would be that of another picture beside it: --sidecar darktable gives each its own")
    if shared := _sharing(path, folder):
        raise ValueError(f"its x.xmp would be that of {shared} too: --sidecar darktable gives each its own")


def _sharing(path: str, folder: Sequence[str]) -> str:
    """Return another picture that would have the same x.xmp; a raw file owns it alone."""
    from aescli.images.formats import SUFFIXES

    if is_raw(path):
        return ""
    name = os.path.basename(path)  # noqa: PTH119
    stem = os.path.splitext(name)[0]  # noqa: PTH122
    for other in folder:
        other_stem, suffix = os.path.splitext(other)  # noqa: PTH122
        if other != name and other_stem == stem and suffix.lower() in SUFFIXES:
            return other
    return ""
