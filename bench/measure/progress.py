"""How far a measurement is: lines on a terminal, and nothing where standard error is none."""

import sys


def say(text):
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
