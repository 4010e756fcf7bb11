"""The combined result of a sweep: what holds over wordings and seeds. docs/combined.md."""

from otherview.combine.collecting import combine

__all__ = ["combine"]
