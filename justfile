# Everything a change must pass: what CI runs after the tests.
check:
    ruff format --check .
    ruff check .
    mypy
    lint-imports

fix:
    ruff format .
    ruff check --fix .

test:
    pytest

# Generated files; a test fails when they drift.
generate:
    for shell in bash zsh fish; do aes completion $shell > completions/aes.$shell; done
    python docs/reference.py > docs/cli.md

# Kills, signals, cuts, bombs: the figures of docs/reliability.md, in an hour and a half.
torture:
    python benchmarks/reliability.py
    python -m tests.fuzz --seconds 600

# Speed on this machine, contenders in turn.
bench:
    python benchmarks/throughput.py
    python benchmarks/memory.py
    python benchmarks/consistency.py
