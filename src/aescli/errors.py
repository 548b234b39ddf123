"""Every error a user can cause, and the exit code that each one ends a run with.

* AesError                 1   nothing usable came out
  x UsageError             2   the words of the command are off
  x NothingMatched         4   no input found
  x WeightsUnavailable     5   weights are not here, do not match, or their licence is not accepted
  x OutputLocked          11   another run writes the same output
  x OutputFailed           1   the output could not be written
  x StoreFailed            1   the store of finished rows could not be read or written
  x DeviceUnavailable      1   a device that was asked for cannot be had
  x MissingExtra           1   the command needs an optional dependency
  x TooManyFailed          1   more pictures failed than `--max-errors` allows
* PictureError             -   one picture failed: a row, never the end of a run
* Stopped             128 + n   a signal ended the run
* ReaderGone               0   whoever read our output has seen enough

Only `aescli.cli.app` catches AesError; only `aescli.scoring` turns a PictureError into a Failure.
"""

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """How a run ended; `docs/exit-codes.md` is the contract."""

    OK = 0
    ERROR = 1
    USAGE = 2
    SOME_FAILED = 3
    NOTHING_MATCHED = 4
    WEIGHTS_UNAVAILABLE = 5
    OUTPUT_LOCKED = 11
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class ErrorCode(StrEnum):
    """The `error_code` of a picture that failed: never renamed, new ones may be added."""

    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too_many_pixels"
    BAD_METADATA = "bad_metadata"
    PERMISSION = "permission"
    VANISHED = "vanished"
    IO_ERROR = "io_error"
    TIMEOUT = "timeout"
    DECODER_CRASH = "decoder_crash"
    NON_FINITE = "non_finite"
    GPU_OOM = "gpu_oom"
    MODEL_CRASH = "model_crash"
    BAD_ANSWER = "bad_answer"
    REFUSED = "refused"
    ENDPOINT_ERROR = "endpoint_error"
    BUDGET = "budget"
    INTERNAL = "internal"
    SKIPPED = "skipped"


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, its class where it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


class AesError(Exception):
    """What is wrong and where, and in `hint` what to type next."""

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AesError):
    exit_code = ExitCode.USAGE


class NothingMatched(AesError):
    exit_code = ExitCode.NOTHING_MATCHED


class WeightsUnavailable(AesError):
    exit_code = ExitCode.WEIGHTS_UNAVAILABLE


class OutputLocked(AesError):
    exit_code = ExitCode.OUTPUT_LOCKED


class OutputFailed(AesError):
    pass


class StoreFailed(AesError):
    pass


class DeviceUnavailable(AesError):
    pass


class MissingExtra(AesError):
    """An optional dependency is not installed; the hint is the line to paste."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}'", hint=install_line(extra))
        self._words = what, extra

    def __reduce__(self) -> tuple[type["MissingExtra"], tuple[str, str]]:
        return type(self), self._words  # it may have to travel from another machine


class TooManyFailed(AesError):
    pass


class PictureError(Exception):
    """One picture could not be scored, and why."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type["PictureError"], tuple[ErrorCode, str]]:
        return type(self), (self.code, self.message)


class Stopped(BaseException):
    """A signal asked the run to stop. Not an Exception: nothing may swallow it."""

    def __init__(self, signal_number: int, advice: str = "run the same command again to continue") -> None:
        super().__init__(signal_number)
        self.exit_code = ExitCode(128 + signal_number)
        self.advice = advice


class ReaderGone(BaseException):
    """The pipe that records went into is closed. Not an error, so it is no Exception; other things may have failed."""

    def __init__(self, exit_code: ExitCode = ExitCode.OK) -> None:
        super().__init__()
        self.exit_code = exit_code


def install_line(extra: str) -> str:
    """Return the line that installs one of the extras."""
    return f"pip install 'aescli[{extra}]'"
