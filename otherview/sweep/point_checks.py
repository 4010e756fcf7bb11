"""What can be wrong with the points of a sweep, found before any is started; and their cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from otherview.disk.progress import Progress, silent
from otherview.models.cost import study_flops
from otherview.models.hub import cached_folder
from otherview.models.picture_files import check_images, reference_sizes
from otherview.models.pipeline_folder import KLEIN, pipeline_class_name
from otherview.models.sites import hook_sites
from otherview.models.weights import load_tokenizer, transformer_config
from otherview.results.registration import read_registration, registration_file
from otherview.study import Study
from otherview.study.compose import run_settings
from otherview.study.prompts import check_lengths, study_prompts
from otherview.sweep.points import Point


def check_points(points: Sequence[Point], report: Progress = silent) -> None:
    """Check the points, and predict their cost.

    Raises StudyError for the first whose model, reference image or prompts cannot be run. What
    points share is checked once. Loads no weights and asks no network: prompts are checked
    if the model's tokenizer is on this machine.
    """
    known, read = Known(), cache(read_registration)
    for checked, point in enumerate(points, 1):
        if (file := registration_file(run_settings(point.config))) is not None:
            read(file)
        point.cost = known.cost(point.study)
        report("checking points", checked, len(points))


class Known(dict[str, Any]):
    """What was checked before, by what it depends on."""

    def cost(self, study: Study) -> float:
        """Return the floating-point operations of `study`. Raises StudyError if it cannot run."""
        model, prompts = study.model, study_prompts(study)
        source = str(model.source)
        folder = self._once(f"folder {source}", lambda: cached_folder(model))
        config = self._once(f"{asdict(model)}", lambda: transformer_config(model, folder))
        self._once(f"sites {asdict(model)}", lambda: hook_sites(config))
        images = str([list(map(asdict, study.scenery)), model.size, study.seed, prompts])
        self._once(f"checked {images}", lambda: check_images(study, prompts))
        sizes = self._once(f"sizes {images}", lambda: reference_sizes(study, prompts.prompts))
        klein = folder is not None and pipeline_class_name(folder) == KLEIN
        if folder is not None and klein and (folder / "tokenizer").is_dir():
            tokenizer = self._once(f"tokenizer {source}", lambda: load_tokenizer(folder))
            texts = [prompt.text for prompt in prompts.prompts]
            texts += [scene.prompt for scene in study.scenery if scene.prompt is not None]
            for text in texts:
                self._once(
                    f"{source} {model.text_positions} {text}",
                    lambda text=text: check_lengths(tokenizer, [text], model.text_positions),
                )
        return study_flops(study, config, sizes)

    def _once(self, name: str, look: Any) -> Any:
        if name not in self:
            self[name] = look()
        return self[name]
