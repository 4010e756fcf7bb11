"""Organisms with known mechanisms, and which readings find them.

A reading is a function of a subject, a model and its study, that returns a score per head and the
heads that it calls:

    from otherview.bench import Scores

    def score(subject):
        responses = subject.measure().responses
        size = abs(responses.differences(subject.heads).mean(0))
        return Scores(dict(zip(subject.addresses, size)), called=())

`otherview bench --reading my.py:score` puts it into the table. docs/bench.md describes both.
"""

from otherview.bench.scores import NOT_READ, Scores

__all__ = ["NOT_READ", "Scores"]
