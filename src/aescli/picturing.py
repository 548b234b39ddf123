"""Pictures that a user names, as the tiles that InternVL sees: what a comparison and an export are proved on."""

from collections.abc import Sequence
from pathlib import Path

from aescli.errors import AesError, PictureError
from aescli.images.find import Selection, check_words, find
from aescli.images.picture import Decoding, open_picture
from aescli.images.source import read_file
from aescli.images.view import Pixels
from aescli.models.tiles import Tiling, cut
from aescli.names import escape


def cut_files(pictures: Sequence[Path], tiling: Tiling) -> list[Pixels]:
    """Decode pictures in full and cut them; folders stand for what is in them.

    Raises:
        AesError: one of them cannot be decoded.

    """
    words = [str(picture) for picture in pictures]
    check_words(words, ())
    tiles: list[Pixels] = []
    for found in find(words, Selection()):
        try:
            if found.problem:
                raise found.problem
            opened = open_picture(read_file(found.path).data, Decoding(exact=True))
            tiles.append(cut(opened, tiling))
        except PictureError as error:
            raise AesError(f"{escape(found.path)}: {error.message}") from error
    return tiles
