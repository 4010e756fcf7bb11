"""The combined result of a sweep: what holds over wordings and seeds. docs/combined.md."""

from otherview.sweep.combine.combined_result import combine

__all__ = ["combine"]
