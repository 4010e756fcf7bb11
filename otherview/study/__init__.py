"""The study: its question, model and wordings.

These are plain dataclasses: a notebook can build a study without Hydra. Each checks its values and
raises StudyError, whose message names the value and whose `setting` names the field.
"""

from otherview.study.attribution import Attribution
from otherview.study.contrast import ROLES, Controls, Role, Templates
from otherview.study.intervention import Intervention
from otherview.study.items import Creatures
from otherview.study.model import DTYPES, Model, Scene
from otherview.study.published import Published, PublishedCount
from otherview.study.reading import RESPONSES, TOKEN_GROUPS, UNIT_SETS, Capture, Nulls, Sampling
from otherview.study.study import MAX_ITEMS_EXACT, Study, settings_of

__all__ = [
    "DTYPES",
    "MAX_ITEMS_EXACT",
    "RESPONSES",
    "ROLES",
    "TOKEN_GROUPS",
    "UNIT_SETS",
    "Attribution",
    "Capture",
    "Controls",
    "Creatures",
    "Intervention",
    "Model",
    "Nulls",
    "Published",
    "PublishedCount",
    "Role",
    "Sampling",
    "Scene",
    "Study",
    "Templates",
    "settings_of",
]
