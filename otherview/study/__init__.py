"""The study: its question, model and wordings.

These are plain dataclasses: a notebook can build a study without Hydra. Each checks its values and
raises StudyError, whose message names the value and whose `setting` names the field.
"""

from otherview.study.attribution import Attribution
from otherview.study.contrast import ROLES, Controls, Templates
from otherview.study.intervention import Intervention
from otherview.study.items import Creatures
from otherview.study.model import Model, Scene
from otherview.study.reading import (
    TOKEN_GROUPS,
    Capture,
    Nulls,
    Published,
    PublishedCount,
    Sampling,
)
from otherview.study.study import Study, settings_of

__all__ = [
    "ROLES",
    "TOKEN_GROUPS",
    "Attribution",
    "Capture",
    "Controls",
    "Creatures",
    "Intervention",
    "Model",
    "Nulls",
    "Published",
    "PublishedCount",
    "Sampling",
    "Scene",
    "Study",
    "Templates",
    "settings_of",
]
