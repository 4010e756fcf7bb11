"""The combined result of a sweep: what holds over wordings and seeds. docs/combined.md."""

from otherview.sweep.combine.collecting import combine

__all__ = ["combine"]
