"""Every family is built, runs, and comes back from a folder as it was."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from transformers.utils import is_torchvision_available

from otherview.models.pipeline_folder import check_classes, missing_part
from otherview.models.processors import torchvision_is_optional
from tests.families import NAMES, Tiny, make
from tests.families.table import row

DOG, OWL = "a kitchen as seen by a dog", "a kitchen as seen by an owl"


class Stop(BaseException):
    """Not an Exception, so that no pipeline swallows it."""


def tensors(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    """Return the tensors anywhere in `value`, by their place."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    found: dict[str, torch.Tensor] = {}
    for key, part in items:
        found |= tensors(part, f"{name}.{key}")
    return found


@torch.no_grad()
def first_arguments(transformer: Any, pipeline: Any, arguments: dict[str, Any]) -> Any:
    """Return the tensors that `pipeline` gives its transformer first, which then does not run."""
    seen: list[Any] = []

    def hook(_: Any, *given: Any) -> None:
        seen.append(given)
        raise Stop

    handle = transformer.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        with pytest.raises(Stop):
            pipeline(**arguments)
    finally:
        handle.remove()
    return tensors(seen[0])


@torch.no_grad()
def run(tiny: Tiny, prompt: str) -> tuple[torch.Tensor, int]:
    """Return the latents that a call makes, and how often it called the transformer."""
    calls: list[None] = []
    handle = tiny.transformer.register_forward_hook(lambda *_: calls.append(None))
    try:
        output = tiny.pipeline(**tiny.arguments(prompt))[0]
    finally:
        handle.remove()
    return torch.as_tensor(output[0] if isinstance(output, list) else output), len(calls)


def assert_sites_are_linears(tiny: Tiny) -> None:
    linears = [n for n, m in tiny.transformer.named_modules() if isinstance(m, torch.nn.Linear)]
    for module in tiny.sites:
        pattern = re.compile(re.escape(module).replace(r"\*", r"\d+"))
        found = [name for name in linears if pattern.fullmatch(name)]
        assert len(found) > 1, f"{module}: {found}"


def test_the_docs_have_every_family() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    missing = [name for name in NAMES if row(name) not in text]
    assert not missing, "python -m tests.families.table prints the table of docs/models.md"


@pytest.mark.parametrize("name", NAMES)
def test_family_runs_and_comes_back_from_a_folder(name: str, tmp_path: Path) -> None:
    tiny = make(name)
    assert tiny.transformer.dtype == torch.float32
    assert_sites_are_linears(tiny)
    (dog, calls), (owl, _) = run(tiny, DOG), run(tiny, OWL)
    assert calls == tiny.calls
    assert dog.isfinite().all()
    assert owl.isfinite().all()
    assert not torch.equal(dog, owl)

    tiny.pipeline.save_pretrained(tmp_path)
    check_classes(tmp_path)
    assert missing_part(tmp_path) is None
    with torchvision_is_optional():
        loaded = diffusers.DiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    assert type(loaded) is type(tiny.pipeline)
    before = first_arguments(tiny.transformer, tiny.pipeline, tiny.arguments(DOG))
    transformer = getattr(loaded, "transformer", None) or loaded.unet
    after = first_arguments(transformer, loaded, tiny.arguments(DOG))
    assert before.keys() == after.keys()
    for place, value in before.items():
        # not bit for bit: memory-mapped weights begin at other addresses, so sums round otherwise
        torch.testing.assert_close(after[place], value, msg=f"{place} is not as before")
    weights = transformer.state_dict()
    assert weights.keys() == tiny.transformer.state_dict().keys()
    assert all(torch.equal(weights[k], v) for k, v in tiny.transformer.state_dict().items())


@pytest.mark.skipif(is_torchvision_available(), reason="transformers loads the processor itself")
def test_flux2_dev_loads_without_torchvision(tmp_path: Path) -> None:
    tiny = make("flux2_dev")
    tiny.pipeline.save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    parts = json.loads(index.read_text())
    parts["tokenizer"] = ["transformers", "PixtralProcessor"]  # as the published folder has it
    index.write_text(json.dumps(parts))
    with torchvision_is_optional():
        loaded = diffusers.DiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    after = first_arguments(loaded.transformer, loaded, tiny.arguments(DOG))
    before = first_arguments(tiny.transformer, tiny.pipeline, tiny.arguments(DOG))
    torch.testing.assert_close(after, before)
