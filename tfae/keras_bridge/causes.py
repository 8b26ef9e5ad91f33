"""Why a model does not train by tfae's own engines, or only by Keras' `fit`: each cause by name."""

from typing import NamedTuple


class Cause(NamedTuple):
    """A sentence of two parts, and what may be done.

    Attributes:
        subject: What it is of: "layer 'dense'", "the optimizer", "it".
        predicate: What that has or is: "has no bias", "is RMSprop".
        remedy: What to do, or "" where nothing is known.
    """

    subject: str
    predicate: str
    remedy: str = ""

    def __str__(self):
        return f"{self.subject} {self.predicate}"


class Causes(list):
    """Those that were found, each once; it reads as one phrase for a person."""

    def add(self, subject, predicate, remedy=""):
        """Append a `Cause`, but for one that is known."""
        cause = Cause(subject, predicate, remedy)
        if cause not in self:
            self.append(cause)

    def remedies(self):
        """What may be done of them, each once."""
        return list(dict.fromkeys(cause.remedy for cause in self if cause.remedy))

    def __str__(self):
        remedies = self.remedies()
        return ", ".join(map(str, self)) + (f": {'; '.join(remedies)}" if remedies else "")

    def check(self):
        """Raise `NotPlain` where there is one."""
        if self:
            raise NotPlain(self)


def a(kind):
    """The name of a class behind its article."""
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


class LeftToFit(ValueError):
    """What an epoch in one call does not compute, and `model.fit` does; `reason` is a phrase."""

    def __init__(self, reason):
        super().__init__(f"{reason}: train this model with model.fit")
        self.reason = str(reason)


class NotPlain(Exception):
    """A model is none that tfae's own engines compute; `causes` says why."""

    def __init__(self, causes):
        super().__init__(str(causes))
        self.causes = causes
