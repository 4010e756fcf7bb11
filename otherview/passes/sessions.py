"""The session that fits a model: FLUX.2 Klein's own, or that of any pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from otherview.models import hub
from otherview.models.interception import denoiser_name
from otherview.models.picture_files import check_images
from otherview.models.pipeline_folder import KLEIN, pipeline_class_name
from otherview.passes.pipeline_session import PipelineSession
from otherview.passes.session import Session
from otherview.passes.transformer import check_uncompiled
from otherview.study import Model, Study
from otherview.study.errors import StudyError
from otherview.study.loading import Loading
from otherview.study.prompts import study_prompts


def open_session(study: Study, pipeline: Any = None) -> Session:
    """Return a session for `study`; its images are checked before any download.

    `pipeline` is a loaded pipeline to use instead of the weights that the study names. Raises
    StudyError for settings of how to load these.
    """
    if pipeline is not None and study.model.loading != Loading():
        raise StudyError(
            "model.loading is for weights that otherview loads, and a loaded pipeline was passed "
            "in: load it as you wish, and leave model.loading out",
            "model.loading",
        )
    check_images(study, study_prompts(study))
    return session_of(study.model, pipeline=pipeline)


def session_of(model: Model, references: Path | None = None, pipeline: Any = None) -> Session:
    """Return a session of `model`; arguments as those of `Session`.

    FLUX.2 Klein has a path of its own, which encodes prompts without pad keys and can be rendered
    at any step.
    """
    if pipeline is None:
        name = pipeline_class_name(hub.settings_folder(model))
    else:
        name = type(pipeline).__name__
        check_uncompiled(getattr(pipeline, denoiser_name(pipeline)))  # before anything is encoded
    return (Session if name == KLEIN else PipelineSession)(model, references, pipeline)
