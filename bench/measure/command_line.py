"""Options that help when they are mistyped."""

import argparse
import difflib
import os
import pathlib


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations, and says which option was meant."""

    def __init__(self, **more):
        super().__init__(allow_abbrev=False, **more)

    def parse_args(self, *given):
        found, unknown = self.parse_known_args(*given)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            self.error(f"unknown option {unknown[0]!r}{hint(unknown[0].split('=')[0], known)}")
        return found


def hint(word, known):
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def names_of(known):
    """A type for `a,b,c`, each one of `known`; the order is that of `known`."""

    def parse(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not there{hint(name, list(known))}")
        return [name for name in known if name in chosen]

    return parse


def at_least_one(text):
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few: at least 1")
    return number


def program(text):
    path = pathlib.Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{text} is not executable")
    return str(path.resolve())
