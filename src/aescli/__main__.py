"""`aes`, and `python -m aescli`: the command line is imported here, so that Ctrl-C may end it while it is."""

import signal
import sys


def run() -> None:
    """Run the words of the command line and end the process."""
    # Nothing is at stake yet: the signal ends the process as it ends any other, without a trace of our imports.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from aescli.cli.app import main

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())


if __name__ == "__main__":
    run()
