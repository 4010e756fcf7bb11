"""Run the transformer, and hook the inputs of its attention out-projections.

    with capture(transformer, sites) as recorder:
        run(transformer, call, recorder)
        energy = recorder.take()

No other module calls a transformer or registers hooks on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from otherview.models.calls import Call, TokenLayout
from otherview.models.sites import Site, is_linear
from otherview.study.errors import StudyError

Hook = Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...] | None]
"""A forward pre-hook of torch: what it returns replaces the inputs; None keeps them."""

OUT_PROJECTIONS = ("attn.to_out.0", "attn.to_add_out", "attn.to_out")


class Reader:
    """Owns hooks that need the token groups: a recorder, or the handle of an edit."""

    def __init__(self) -> None:
        self._layout = TokenLayout({})
        self._masks: dict[str, Float[Tensor, "rows groups positions"]] = {}

    def expect(self, layout: TokenLayout, device: torch.device) -> None:
        """Take the layout of the next call, whose arguments are on `device`.

        The masks are copied to the device now, since a copy during the call would make the host
        wait for the device.
        """
        self._layout = layout
        self._masks = {
            sequence: torch.from_numpy(masks).to(device, torch.float32)
            for sequence, masks in layout.masks.items()
        }

    def masks(self, site: Site, activation: Tensor) -> Float[Tensor, "rows groups positions"]:
        """Return which positions of `site` belong to each group of TOKEN_GROUPS, as 0 and 1.

        Raises RuntimeError without a layout.
        """
        if not self._masks:
            raise RuntimeError(f"call {type(self).__name__}.expect before a transformer call")
        return self._masks[self._layout.sequence(site)].to(activation.device)

    def by_row(
        self, site: Site, activation: Tensor
    ) -> tuple[Float[Tensor, "rows groups positions"], Float[Tensor, "rows positions channels"]]:
        """Return the masks and the activation of `site`; some models fold rows into tokens.

        Raises RuntimeError for another number of tokens than was expected.
        """
        masks = self.masks(site, activation)
        tokens = activation.numel() // (len(masks) * activation.shape[-1])
        if tokens != masks.shape[2]:
            raise RuntimeError(f"{site.address} sees {tokens} tokens, expected {masks.shape[2]}")
        return masks, activation.reshape(len(masks), tokens, -1)


def run(transformer: Any, call: Call, *readers: Reader) -> Tensor:
    """Return the transformer's output for `call`, `[rows, ...]`: tokens, or a grid of latents.

    `readers` get the layout of the call before it runs.
    """
    for reader in readers:
        reader.expect(call.layout, call.device)
    output = transformer(**call.arguments)[0]
    made: Tensor = torch.stack(output) if isinstance(output, list) else output
    return made


@contextmanager
def hooked(
    transformer: nn.Module, sites: Sequence[Site], hooks: Mapping[str, Hook]
) -> Iterator[None]:
    """Call `hooks`, given by module, before their modules run; remove them at the end.

    Raises StudyError as `check_sites` does.
    """
    check_sites(transformer, sites)
    with watched(transformer, hooks):
        yield


@contextmanager
def watched(transformer: nn.Module, hooks: Mapping[str, Hook]) -> Iterator[None]:
    """Call `hooks`, given by module, before their modules run, whatever they are."""
    handles = []
    try:
        for module, hook in hooks.items():
            handles.append(transformer.get_submodule(module).register_forward_pre_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_sites(transformer: nn.Module, sites: Sequence[Site]) -> None:
    """Compare the sites derived from a config with the modules of the transformer.

    Works on the meta device. Raises StudyError for the first site that is missing or has another
    number of input channels, for an attention out-projection that no site names, and for a
    compiled transformer, which would silently ignore hooks.
    """
    check_uncompiled(transformer)
    modules = dict(transformer.named_modules())
    for site in sites:
        linear: Any = modules.get(site.module)
        if linear is None or not is_linear(linear):
            raise StudyError(f"{site.module} is not a Linear of {type(transformer).__name__}")
        if linear.in_features != site.channels:
            raise StudyError(
                f"{site.module} has {linear.in_features} input channels, but by its config "
                f"{site.heads} heads x {site.head_dim} + {site.mlp_channels} MLP = {site.channels}"
            )
    named = {site.module for site in sites}
    for name, module in modules.items():
        if name.endswith(OUT_PROJECTIONS) and is_linear(module) and name not in named:
            raise StudyError(f"{name} is an attention out-projection without a hook site")


def check_uncompiled(transformer: nn.Module) -> None:
    """Raise StudyError for a compiled transformer, which would silently ignore hooks."""
    if isinstance(transformer, torch._dynamo.OptimizedModule) or any(
        module._compiled_call_impl is not None for module in transformer.modules()
    ):
        raise StudyError(
            "the transformer is compiled, and hooks registered after torch.compile are ignored: "
            "probe it before compiling (model.compile=true compiles FLUX.2 Klein afterwards)"
        )
