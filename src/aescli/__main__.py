"""`python -m aescli` is `aes`."""

from aescli.cli.app import run

if __name__ == "__main__":
    run()
