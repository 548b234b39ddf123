"""Where labelled pictures are that belong to nobody's repository: the folder AES_DATA_DIR names, or one beside us."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("AES_DATA_DIR", Path(__file__).parents[2] / "shared" / "data"))

needs_data = pytest.mark.skipif(not (DATA / "oasis").is_dir(), reason=f"no labelled pictures in {DATA}")
