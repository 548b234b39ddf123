"""Where the outputs of original implementations are: the folder that AES_CONFORMANCE_DIR names, or one beside us."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("AES_CONFORMANCE_DIR", Path(__file__).parents[2] / "shared" / "conformance"))

needs_conformance = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no conformance fixtures in {FOLDER}")
