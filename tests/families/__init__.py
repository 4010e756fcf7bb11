"""Tiny random pipelines, one for each family that otherview is tested on. Nothing is downloaded."""

from tests.families.making import NAMES, Tiny, make

__all__ = ["NAMES", "Tiny", "make"]
