"""A bucket of pictures: listed, read and scored, and Parquet written back, on moto's S3 server.

python benchmarks/remote.py --photographs FOLDER [--count 2000]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pictures import make_folder

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import buckets


def score(*words: object) -> tuple[float, str]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "aescli", "score", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - started, done.stderr.strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "aes-benchmarks")
    parser.add_argument("--count", type=int, default=2000)
    words = parser.parse_args()
    folder = make_folder(words.photographs, "small", words.count, words.scratch)
    store = words.scratch / "remote.db"
    with buckets.serving() as environment:
        os.environ.update(environment)
        import s3fs
        from pyarrow import parquet

        files = s3fs.S3FileSystem()
        files.mkdir("pictures")
        for file in sorted(folder.iterdir()):
            files.pipe_file(f"pictures/in/{file.name}", file.read_bytes())
        for name in ("first", "again"):
            target = f"s3://pictures/out/{name}.parquet"
            seconds, said = score("s3://pictures/in", "--store", store, "-o", target)
            with files.open(target) as stream:
                rows = parquet.read_table(stream).num_rows
            print(f"{name}: {rows} rows written, {seconds:.1f} s; {said}", flush=True)
    store.unlink()
    seconds, said = score(folder, "--no-store", "-o", words.scratch / "local.parquet")
    print(f"from this disk: {seconds:.1f} s; {said}")


if __name__ == "__main__":
    main()
