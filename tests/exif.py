"""Pictures that say when they were taken."""

from pathlib import Path

from PIL import Image

from tests.conftest import photograph


def taken(
    folder: Path, name: str, moment: str | None, suffix: str = ".jpg", fraction: str = "", offset: str = ""
) -> Path:
    """Write a picture that says when it was taken."""
    exif = Image.Exif()
    exif[271] = "a camera"
    if moment:
        exif.get_ifd(0x8769)[36867] = moment
        exif.get_ifd(0x8769)[37521] = fraction
        exif.get_ifd(0x8769)[36881] = offset
    file = folder / f"{name}{suffix}"
    if suffix == ".tif":  # whose own directory holds the others
        photograph(1, (40, 30)).save(file, tiffinfo={34665: dict(exif.get_ifd(0x8769))})
    else:
        photograph(1, (40, 30)).save(file, exif=exif)
    return file
