"""`aes` judges the beauty of pictures.

    from aescli import score_images

`aescli.errors.AesError` is the root of everything that can go wrong; its docstring draws the tree.
"""

from aescli.api import score_images
from aescli.results import Failure, Row, Score

__all__ = ["Failure", "Row", "Score", "score_images"]
__version__ = "0.1.0"
