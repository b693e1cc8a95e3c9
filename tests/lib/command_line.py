"""The command lines of the tools in Python: a mistake is one line that names the option, and exit code 2.

    def main(arguments):
        parser = command_line.Parser("tests/fault/run", "Injects faults.")
        parser.add_argument("--seed", type=command_line.whole(0, 9))
        options = parser.parse_args(arguments)
        …
        return 0

    command_line.run("tests/fault/run", main)

Of an option that is given twice the last counts, as everywhere in Klatch.
"""

import argparse
import difflib
import errno
import math
import os
import re
import sys

MISSED, USAGE, INTERRUPTED = 1, 2, 130


def nearest(word, known):
    """Text that names the one that is most like the word; empty if none is alike."""
    alike = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {alike[0]}?" if alike else ""


class Parser(argparse.ArgumentParser):
    def __init__(self, tool, description):
        super().__init__(prog=tool, description=description, allow_abbrev=False)

    def error(self, message):
        text = message.removeprefix("argument ")
        self.exit(USAGE, f"{self.prog}: {text}{' ' if text.endswith('?') else '; '}{self.prog} --help explains\n")

    def parse_args(self, args=None, namespace=None):
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            self.error(f"unknown {'option' if word.startswith('-') else 'argument'} '{word}'"
                       + nearest(word, [name for action in self._actions for name in action.option_strings]))
        return options

    def check_known(self, what, words, known):
        """Ends with a mistake if one of the words is none of those."""
        for word in words:
            if word not in known:
                self.error(f"no {what} '{word}'" + (nearest(word, known) or "; there are " + ", ".join(known)))


def whole(low, high):
    """A type of arguments: a whole number within."""
    def parse(text):
        if not re.fullmatch(r"-?[0-9]{1,30}", text, re.A) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number from {low} to {high}")
        return int(text)
    return parse


def number_above(low, high):
    """A type of arguments: a number above `low`, and no higher than `high`."""
    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low < value <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is no number above {low:g}, and no higher than {high:g}")
        return value
    return parse


class _Unwritten(Exception):
    pass


class _Output:
    """stdout, the errors of which are told apart from those of files and sockets."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text):
        return self._do(lambda: self._stream.write(text))

    def flush(self):
        self._do(self._stream.flush)

    @staticmethod
    def _do(what):
        try:
            return what()
        except OSError as error:
            raise _Unwritten(error) from None

    def __getattr__(self, name):
        return getattr(self._stream, name)


def _hold_standard_streams():
    """Nothing that is opened later takes the place of a stream that is closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")


def run(tool, main):
    """Ends the process with what `main` returns for the words; without a trace of the stack where it is interrupted, or
    stdout can't be written to."""
    has_stdout = sys.stdout is not None
    _hold_standard_streams()
    try:
        if not has_stdout:
            raise _Unwritten(OSError(errno.EBADF, os.strerror(errno.EBADF)))
        sys.stdout = _Output(sys.stdout)
        try:
            code = main(sys.argv[1:])
        except SystemExit as end:  # argparse's
            code = end.code
        sys.stdout.flush()
    except _Unwritten as unwritten:
        # What is left of the output is not written at the end of the interpreter either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(unwritten.args[0], BrokenPipeError):
            print(f"{tool}: can't write the result: {unwritten.args[0].strerror}", file=sys.stderr)
        code = MISSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)
