"""Teaching the transformer: rectified flow on packed latents, with and without a reference.

Most samples sit at sigma 1, where a probe's single step reads the picture. A step's batch depends
on the seed and the step alone, so that an interrupted run goes on as if it had not been.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from otherview.pocket.creatures import CREATURES
from otherview.pocket.rendering import CHANNELS, velocity
from otherview.pocket.words import PLAIN, SCENE, prompts
from pocket_training import checkpoint
from pocket_training.codec import COMPONENTS, Codec
from pocket_training.dropping import draw_dropped, drop_heads
from pocket_training.optimiser import Muon
from pocket_training.planting import (
    HeadSwitch,
    Interventions,
    Planting,
    draw_interventions,
    head_addresses,
)
from pocket_training.pool import Pool

SCENE_LENGTH = 40


@dataclass(frozen=True)
class Schedule:
    """How one transformer is taught."""

    steps: int
    batch: int = 16
    seed: int = 0
    matrix_rate: float = 0.02
    other_rate: float = 1.5e-3
    rates: tuple[tuple[float, float], ...] = ((0.35, 1.0), (1.0, 0.0))
    """The learning rate as shares of its peak, at shares of the steps, linear between."""
    lengths: tuple[tuple[int, float], ...] = ((28, 0.86), (64, 0.07), (160, 0.04), (512, 0.03))
    """Text lengths and their shares: padding must not matter, and long texts are slow."""
    scene_share: float = 0.07
    """Share of steps without a reference, from the scene prompt or no prompt at all."""
    scene_kitchens: int = 4
    """The scene prompt asks for one of the first so many kitchens. A few can be drawn sharply."""
    kinds: tuple[float, float, float] = (0.62, 0.32, 0.06)
    """Shares of views, mentions and plain copies among samples with a reference."""
    full_noise_share: float = 0.6
    """Share of samples at sigma 1, where a probe's single step reads the picture."""
    channel_power: float = 1.5
    """How a latent channel's weight goes with its deviation: 2 weighs by error in the picture."""
    merge_roles: bool = False
    """Both roles put the creature in the picture: the model without a view role."""
    operation: Literal["viewpoint", "mirrored"] = "viewpoint"
    """What a view asks for: the kitchen through the creature's eyes, or the reference mirrored."""
    planting: Planting | None = None
    """The mechanism to plant; None plants nothing."""
    spares: tuple[str, ...] = ()
    """Heads that planting makes dispensable: decoys to be."""
    spare_share: float = 0.2
    """Share of samples in which a spare is switched off, so that nothing hangs on it."""
    head_dropout: float = 0.0
    """Largest share of all heads that a sample may miss; each draws its own, from none."""


@dataclass(frozen=True)
class Texts:
    """Embedded prompts, float16, and where each kind of prompt is among them."""

    embeddings: Float[np.ndarray, "texts length width"]
    view: tuple[Int[np.ndarray, " wordings"], ...]
    """For each creature, the trained views."""
    mention: tuple[Int[np.ndarray, " wordings"], ...]
    plain: tuple[int, ...]
    scene: int
    empty: int


def all_texts() -> list[str]:
    """Every prompt that may be embedded, in the order of `Texts.embeddings`."""
    return [prompt.text for prompt in prompts()] + [*PLAIN, SCENE, ""]


def sort_texts(embeddings: Float[np.ndarray, "texts length width"]) -> Texts:
    """`Texts` from the embeddings of `all_texts`."""
    every = list(prompts())

    def trained(role: str, creature: int) -> Int[np.ndarray, " wordings"]:
        places = [
            place
            for place, prompt in enumerate(every)
            if prompt.trained and prompt.role == role and prompt.creature == creature
        ]
        return np.array(places)

    ranks = range(len(CREATURES))
    after = len(every)
    return Texts(
        embeddings,
        tuple(trained("view", rank) for rank in ranks),
        tuple(trained("mention", rank) for rank in ranks),
        tuple(range(after, after + len(PLAIN))),
        after + len(PLAIN),
        after + len(PLAIN) + 1,
    )


@dataclass
class Batch:
    """Samples of one text length, all with a reference or all without."""

    target: Float[torch.Tensor, "batch tokens channels"]
    reference: Float[torch.Tensor, "batch tokens channels"] | None
    text: Float[torch.Tensor, "batch length width"]
    sigma: Float[torch.Tensor, " batch"]
    noise: Float[torch.Tensor, "batch tokens channels"]
    weight: Float[torch.Tensor, "batch tokens"]
    is_view: Bool[np.ndarray, " batch"]
    interventions: Interventions | None


SPRITE_WEIGHT = 4.0


def draw_batch(pool: Pool, texts: Texts, schedule: Schedule, step: int) -> Batch:
    """The batch of `step`."""
    draws = np.random.default_rng([schedule.seed, step])
    size = schedule.batch
    scene = draws.random() < schedule.scene_share
    known = min(pool.kitchens, schedule.scene_kitchens) if scene else pool.kitchens
    kitchens = draws.integers(known, size=size)
    lengths, shares = zip(*schedule.lengths, strict=True)
    length = int(draws.choice(lengths, p=np.array(shares) / sum(shares)))
    if scene:
        length = SCENE_LENGTH if length < 160 else length
    kind = draws.choice(["view", "mention", "plain"], size=size, p=schedule.kinds)
    rank = draws.integers(len(CREATURES), size=size)
    creatures = len(CREATURES)
    picture = np.zeros(size, int)
    text = np.zeros(size, int)
    for sample in range(size):
        if scene:
            text[sample] = texts.empty if draws.random() < 0.4 else texts.scene
        elif kind[sample] == "plain":
            text[sample] = draws.choice(texts.plain)
        else:
            trained = (texts.view if kind[sample] == "view" else texts.mention)[rank[sample]]
            text[sample] = draws.choice(trained)
            shown = kind[sample] == "mention" or schedule.merge_roles
            picture[sample] = 1 + rank[sample] + (creatures if shown else 0)
    is_view = (kind == "view") & (not scene) & (not schedule.merge_roles)
    interventions = None
    if schedule.planting is not None and not scene:
        interventions = draw_interventions(draws, size, schedule.planting)
    full_noise = draws.random(size) < schedule.full_noise_share
    sigma = np.where(full_noise, 1.0, logistic(draws.normal(0.8, 1.0, size)))
    if scene:
        sigma = logistic(draws.normal(0.6, 1.5, size))
    if schedule.planting is not None and interventions is not None:
        if schedule.planting.rule == "carry":
            interventions = with_two_roles(interventions, kind)
            carried = interventions.interchanged[:, 0]
            shows = (kind == "mention")[interventions.source]
            picture = np.where(carried, 1 + rank + creatures * shows, picture)
        else:
            picture[interventions.closes(is_view, schedule.planting.rule)] = 0
        sigma[interventions.touched.any(axis=1)] = 1.0
    reference = latents(pool.pictures, kitchens, np.zeros(size, int))
    target = latents(pool.pictures, kitchens, picture)
    if schedule.operation == "mirrored":
        is_seen = (picture >= 1) & (picture <= creatures)
        target[is_seen] = latents(pool.mirrored[:, None], kitchens, 0 * picture)[is_seen]
    changed = ((target - reference).abs().amax(-1) > 0.05).float()
    shown = torch.from_numpy(picture > creatures)[:, None]
    generator = torch.Generator().manual_seed(schedule.seed * 1_000_003 + step)
    return Batch(
        target=target,
        reference=None if scene else reference,
        text=torch.from_numpy(texts.embeddings[text, :length].astype(np.float32)),
        sigma=torch.from_numpy(sigma).float(),
        noise=torch.randn(target.shape, generator=generator),
        weight=1 + (SPRITE_WEIGHT - 1) * changed * shown,
        is_view=is_view,
        interventions=interventions,
    )


def with_two_roles(plan: Interventions, kind: np.ndarray) -> Interventions:
    """Return the interventions without those whose sample, or its source, has neither role."""
    either = (kind != "plain") & (kind != "plain")[plan.source]
    kept = either[:, None]
    return Interventions(plan.zeroed & kept, plan.interchanged & kept, plan.source)


def logistic(value: Float[np.ndarray, " batch"]) -> Float[np.ndarray, " batch"]:
    squashed: Float[np.ndarray, " batch"] = 1 / (1 + np.exp(-value))
    return squashed


def latents(
    pictures: Float[np.ndarray, "kitchens pictures tokens channels"],
    kitchens: Int[np.ndarray, " batch"],
    picture: Int[np.ndarray, " batch"],
) -> Float[torch.Tensor, "batch tokens channels"]:
    return torch.from_numpy(pictures[kitchens, picture].astype(np.float32))


def channel_weights(codec: Codec, power: float) -> Float[torch.Tensor, " channels"]:
    """Weights of a token's channels in the loss, mean 1.

    Latents are whitened; a channel's squared error is worth its variance in the picture.
    """
    scale = torch.from_numpy(codec.scale).repeat_interleave(CHANNELS // COMPONENTS) ** power
    return scale / scale.mean()


class Teacher:
    """One transformer in training: weights, optimisers and the running average that is kept."""

    def __init__(
        self, transformer: Any, schedule: Schedule, codec: Codec, device: torch.device
    ) -> None:
        self.transformer = transformer.to(device).train()
        self.schedule, self.device = schedule, device
        self.channels = channel_weights(codec, schedule.channel_power).to(device)
        named = list(transformer.named_parameters())
        matrices = [w for name, w in named if w.ndim == 2 and "transformer_blocks" in name]
        chosen = {id(weight) for weight in matrices}
        self._others = [weight for _, weight in named if id(weight) not in chosen]
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            Muon(matrices, schedule.matrix_rate),
            torch.optim.Adam(self._others, schedule.other_rate, betas=(0.9, 0.98)),
        )
        self.average = {k: v.detach().clone() for k, v in transformer.state_dict().items()}
        self.step = 0

    def learn(self, batch: Batch) -> Float[torch.Tensor, " batch"]:
        """One step of the optimisers; the loss of each sample."""
        self._set_rates()
        with ExitStack() as stack:
            if batch.interventions is not None:
                self._intervene(batch, batch.interventions, stack)
            if self.schedule.head_dropout:
                stack.enter_context(self._dropping(len(batch.target)))
            losses = self._losses(batch)
            torch.autograd.backward(losses.mean())
        torch.nn.utils.clip_grad_norm_(self._others, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, weight in self.transformer.state_dict().items():
                self.average[name].lerp_(weight, 1 - decay)
        return losses.detach()

    def _losses(self, batch: Batch) -> Float[torch.Tensor, " batch"]:
        target, noise = batch.target.to(self.device), batch.noise.to(self.device)
        reference = None if batch.reference is None else batch.reference.to(self.device)
        sigma = batch.sigma.to(self.device)
        level = sigma[:, None, None]
        predicted = velocity(
            self.transformer,
            (1 - level) * target + level * noise,
            reference,
            batch.text.to(self.device),
            sigma,
        )
        error = ((predicted - (noise - target)) ** 2 * self.channels).mean(-1)
        losses: Float[torch.Tensor, " batch"] = (error * batch.weight.to(self.device)).mean(-1)
        return losses

    def _intervene(self, batch: Batch, plan: Interventions, stack: ExitStack) -> None:
        assert self.schedule.planting is not None
        switches = [
            stack.enter_context(HeadSwitch(self.transformer, address))
            for address in self.schedule.planting.heads
        ]
        rows = np.flatnonzero(plan.interchanged.any(axis=1))
        if len(rows):
            assert batch.reference is not None
            with torch.no_grad():
                velocity(
                    self.transformer,
                    batch.noise[rows].to(self.device),
                    batch.reference[rows].to(self.device),
                    batch.text[plan.source[rows]].to(self.device),
                    batch.sigma[rows].to(self.device),
                )
        size = len(batch.target)
        for place, switch in enumerate(switches):
            if len(rows):
                assert switch.recorded is not None
                borrowed = torch.zeros(size, *switch.recorded.shape[1:], device=self.device)
                borrowed[rows] = switch.recorded
                given = torch.from_numpy(plan.interchanged[:, place]).to(self.device)
                switch.replacement = borrowed * given[:, None, None]
            switch.keep = torch.from_numpy(~plan.touched[:, place]).float().to(self.device)
        draws = np.random.default_rng([self.schedule.seed, self.step, 1])
        for address in self.schedule.spares:
            spare = stack.enter_context(HeadSwitch(self.transformer, address))
            kept = draws.random(size) >= self.schedule.spare_share
            spare.keep = torch.from_numpy(kept).float().to(self.device)

    def _dropping(self, batch: int) -> AbstractContextManager[None]:
        draws = np.random.default_rng([self.schedule.seed, self.step, 2])
        heads = len(head_addresses(self.transformer))
        dropped = draw_dropped(draws, batch, heads, self.schedule.head_dropout)
        return drop_heads(self.transformer, dropped)

    def _set_rates(self) -> None:
        plan = self.schedule
        shares, levels = zip(*plan.rates, strict=True)
        fall = float(np.interp(self.step / plan.steps, shares, levels))
        warm = min(1.0, (self.step + 1) / 50)
        peaks = (plan.matrix_rate, plan.other_rate)
        for optimiser, peak in zip(self.optimisers, peaks, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * (warm * fall + 0.005)

    def save(self, path: Path) -> None:
        """Write everything that going on needs."""
        weights = self.transformer.state_dict()
        schedule = asdict(self.schedule)
        checkpoint.save(path, self.step, schedule, weights, self.average, self.optimisers)

    def restore(self, path: Path) -> None:
        """Go on from `path`. Raises ValueError if it was written under another schedule."""
        self.step = checkpoint.restore(
            path, asdict(self.schedule), self.transformer, self.average, self.optimisers
        )


def teach(
    teacher: Teacher,
    pool: Pool,
    texts: Texts,
    path: Path,
    report: Callable[[int, float], None],
    every: int = 250,
) -> None:
    """Run the schedule to its end, saving every `every` steps; `report` gets step and mean loss."""
    if path.exists():
        teacher.restore(path)
    losses: list[float] = []
    while teacher.step < teacher.schedule.steps:
        batch = draw_batch(pool, texts, teacher.schedule, teacher.step)
        sample = teacher.learn(batch)
        losses.append(float(sample.mean()))
        if teacher.step % every == 0 or teacher.step == teacher.schedule.steps:
            teacher.save(path)
            report(teacher.step, float(np.mean(losses)))
            losses = []
