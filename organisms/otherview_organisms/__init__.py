"""Organisms: diffusion transformers with known mechanisms, one folder each in `FOLDER`."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Of folders with a `card.json` and, unless the weights ship with otherview, a `transformer`."""
