"""The reference image that a model draws from the scene's prompt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch

from otherview.passes.measure import measure
from otherview.study.compose import compose_study
from tests.conftest import THREE_CREATURES


def test_a_scene_prompt_is_drawn_as_the_pipeline_draws_it(
    pocket_folder: Path, tmp_path: Path
) -> None:
    from diffusers import Flux2KleinPipeline

    folder = tmp_path / "undistilled"  # guidance runs the transformer twice a step there only
    shutil.copytree(pocket_folder, folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "is_distilled": False}))
    changes = [f"model.path={folder}", "seed=3", "scene.steps=3", THREE_CREATURES]
    study = compose_study(["+experiment=kitchen", "model=pocket", "scene=kitchen", *changes])
    drawn = measure(study).reference
    pipeline = Flux2KleinPipeline.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        prompt=study.scenery[0].prompt,
        height=64,
        width=64,
        num_inference_steps=3,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    difference = np.asarray(drawn, dtype=int) - np.asarray(expected, dtype=int)
    assert np.abs(difference).max() <= 1
