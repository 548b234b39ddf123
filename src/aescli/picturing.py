"""Pictures that a user names, as a model sees them: what a comparison and an export are proved on."""

from collections.abc import Callable, Sequence
from pathlib import Path

from aescli.errors import AesError, PictureError
from aescli.images.find import Selection, check_words, find
from aescli.images.picture import Decoding, open_picture
from aescli.images.view import Pixels, View
from aescli.names import escape


def prepare_files(pictures: Sequence[Path], prepare: Callable[[View], Pixels]) -> list[Pixels]:
    """Decode pictures in full and prepare them; folders stand for what is in them.

    Raises:
        AesError: one of them cannot be decoded.

    """
    words = [str(picture) for picture in pictures]
    check_words(words, ())
    prepared: list[Pixels] = []
    for found in find(words, Selection()):
        try:
            prepared.append(prepare(open_picture(found.read().data, Decoding(exact=True))))
        except PictureError as error:
            raise AesError(f"{escape(found.path)}: {error.message}") from error
    return prepared
