"""Where `aes` keeps what it must remember: `AES_HOME`, else the platform's folder for user data."""

import os
from pathlib import Path


def aes_home() -> Path:
    """Return the folder without creating it."""
    named = os.environ.get("AES_HOME")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_data_dir("aes", appauthor=False))
