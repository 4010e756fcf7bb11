"""Print what a study would run, needs and can find: units, tokens, cost, memory, power.

Loads no weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import cast

from rich.console import Console

from otherview.models.cost import (
    attribution_passes,
    drawing_calls,
    forward_flops,
    image_tokens,
    responses_bytes,
    vectors_bytes,
)
from otherview.models.hub import cached_folder
from otherview.models.memory import Stage, card_of, download_gb, stages
from otherview.models.own_files import check_loading
from otherview.models.picture_files import check_images, reference_sizes, transparency_remarks
from otherview.models.pipeline_folder import KLEIN, pipeline_class_name
from otherview.models.scene import scene_texts
from otherview.models.sites import Site, heads, hook_sites, slices, units_of
from otherview.models.weights import choose_device, load_tokenizer, transformer_config
from otherview.stats import Power, enough_for_role_test, role_power, sign_flip_power
from otherview.stats.power import POWER
from otherview.stats.sign_flip import Flips
from otherview.study import Model, Study
from otherview.study.errors import StudyError
from otherview.study.prompts import (
    PromptSet,
    TokenPlace,
    check_lengths,
    check_matched,
    study_prompts,
    token_places,
)
from otherview.views.console import PlainConsole, say
from otherview.views.numbers import count, percent, plural, significant
from otherview.views.table_model import Table, print_table
from otherview.views.vocabulary import BLOCK_KINDS, UNEQUAL_TOKENS, familywise, noun_of

CARDS = {"RTX 3090": 71, "RTX 4090": 165, "A100": 312, "H100": 989}
"""TFLOP/s of dense products in 16 bits, by the makers' data sheets."""
REACHED = 0.5
"""Share of them that a transformer is assumed to reach; not measured."""
OFFLOADS = ("none", "model", "group")
ENOUGH_SCENES = 6
"""With fewer, the role test finds only what is nearly the same on all of them."""


def print_plan(study: Study) -> str:
    """Print units by site, items with their tokens, cost, and what it needs.

    Return what the study can find, in sentences. Raises StudyError for a repository of which
    nothing is known here.
    """
    console = PlainConsole()
    folder = cached_folder(study.model)
    config = transformer_config(study.model, folder)
    if not config:
        raise StudyError(
            f"nothing is known of {study.model.repo} before its index is on this machine: run the "
            "study, which downloads it first, or choose a model of conf/model",
            "model.repo",
        )
    sites = hook_sites(config)
    prompts = study_prompts(study)
    card = study.model.card
    kind = pipeline_class_name(folder) if folder else card.pipeline if card else KLEIN
    check_images(study, prompts)
    takes = kind == KLEIN or takes_picture(kind)
    references = reference_sizes(study, prompts.prompts) if takes else [[]]
    console.print(
        f"\n{study.name}  {study.model.name}, {plural(len(prompts.items), 'item')}, "
        f"{plural(len(prompts.conditions), 'wording')}",
        style="bold",
    )
    print_table(units_table(sites), console)
    width = max(len(condition.name) for condition in prompts.conditions) + 2
    contrast = prompts.contrast()
    frames = dict(zip(contrast.conditions, contrast.frames or (), strict=False))
    for place, condition in enumerate(prompts.conditions):
        frame = f"  (frame: {frames[place]})" if place in frames else ""
        console.print(f"{condition.name:<{width}}{condition}{frame}", soft_wrap=True)
    for other in prompts.contrasts[1:]:
        sides = [
            ", ".join(prompts.conditions[place].name for place in side)
            for side in (other.test, other.control)
        ]
        placebo = f" (placebo of the {other.placebo} role)" if other.placebo else ""
        console.print(f"{other.name}{placebo}: {' against '.join(sides)}")
    remark = ""
    if kind != KLEIN:
        remark = f"Token counts and positions are known once a {kind} has made its calls."
    elif folder is None or not (folder / "tokenizer").is_dir():
        remark = (
            f"Token counts and positions were not checked: the tokenizer of {study.model.repo} is "
            "not on this machine."
        )
    else:
        tokenizer = load_tokenizer(folder)
        places = token_places(tokenizer, prompts.prompts, study.model.text_positions)
        check_matched(prompts, places)
        check_lengths(tokenizer, scene_texts(study), study.model.text_positions)
        own = prompts.of(contrast)
        asked, wordings = prompts.places(contrast), len(own.conditions)
        by_item = [[places[place] for place in asked[start : start + wordings]]
                   for start in range(0, len(asked), wordings)]  # fmt: skip
        print_table(tokens_table(own, by_item), console)
        if differing := sum(len(set(row)) > 1 for row in by_item):
            remark = f"For {differing} of {len(prompts.items)} items t{UNEQUAL_TOKENS[1:]}"
    say(console, [remark], "yellow")
    tokens = max((image_tokens(study.model, each) for each in references), key=astuple)
    flops = forward_flops(config, study.model.text_positions, tokens)
    calls, sampling = len(prompts.prompts), study.sampling
    each = sampling.passes_per_prompt
    console.print(
        f"\ntokens per pass     {study.model.text_positions} text and pad + "
        f"{tokens.target:,} target + {tokens.reference:,} reference"
    )
    size = study.model.batch_size
    batches = f"{-(-calls // size)} batches of {size}"
    more = attribution_passes(study, sites)
    total = calls * each + more.expected
    at = ""
    if sampling.trajectory:
        at = f", each through {plural(each, 'step')} of a trajectory of {sampling.trajectory}"
    elif each > 1:
        at = f", each at {plural(each, 'noise level')}"
    lines = [f"transformer calls   {calls} prompts{at}, in {batches}"]
    if more.gradients:
        steps = (
            (more.toward, ", {} more for patches"),
            (more.zeroed, ", and {} with a site zeroed"),
            (more.zeroed and more.zeroed_alone, "; at most {} with a head zeroed alone, of sites "
             "where first order does not hold"),
            (more.edges, "; at most {} for edges of called heads"),
        )  # fmt: skip
        lines.append(
            f"attribution         as long as {count(more.gradients)} passes "
            f"({plural(study.attribution.cotangents, 'cotangent')} per prompt)"
            + "".join(said.format(count(number)) for number, said in steps if number)
        )
    kept = responses_bytes(sites, calls * sampling.steps_per_prompt)
    lines += [
        *picture_lines(study, prompts, kind if not takes else None),
        f"transformer FLOPs   {scaled(flops)}FLOP per pass, {scaled(flops * total)}FLOP in all",
        f"raw responses       {scaled(kept)}B",
    ]
    if study.capture.keeps_means:
        lines.append(f"mean vectors        {scaled(vectors_bytes(sites, calls))}B")
    say(console, lines)
    draws = any(references) and any(scene.prompt is not None for scene in study.scenery)
    print_needs(study, flops * total, console, draws=draws)
    say(console, [*transparency_remarks(study), *lacking_here(study.model)], "yellow")
    found, power = what_it_can_find(study, prompts, sites)
    console.print(f"\n{found}", style="yellow" if power.note else None)
    return found


def lacking_here(model: Model) -> Iterator[str]:
    """Yield what a run on this machine would stop at. A plan may be for another one."""
    for check in (
        lambda: check_loading(model),
        # auto needs no check, and torch for none
        lambda: model.device == "auto" or choose_device(model),
    ):
        try:
            check()
        except StudyError as error:
            yield f"a run on this machine would stop: {error}"


def picture_lines(study: Study, prompts: PromptSet, refusing: str | None) -> list[str]:
    """Return one line per kind of picture that passes are conditioned on.

    `refusing` is the class of a pipeline that takes none.
    """
    if refusing is not None:
        return [f"reference image     left out: a {refusing} takes none"] if study.has_scene else []
    lines = []
    pictures = {each for prompt in prompts.prompts for each in prompt.pictures}
    if pictures:
        lines.append(f"pictures            {len(pictures)} of the wordings' own")
    if not study.needs_scene:
        return lines
    for scene in study.scenery:
        named = f" ({scene.name})" if study.scenes else ""
        if scene.prompt is None:
            lines.append(f"reference image     {scene.image or 'none'}{named}")
            continue
        twice = ", each with and without the prompt" if scene.guidance_scale > 1 else ""
        lines.append(
            f"reference image     {drawing_calls(scene)} calls ({scene.steps} steps{twice}){named}"
        )
    return lines


def takes_picture(kind: str) -> bool:
    """Return whether a pipeline of diffusers can be conditioned on a picture."""
    import diffusers

    from otherview.models.pipeline_inputs import picture_argument

    return picture_argument(getattr(diffusers, kind)) is not None


def units_table(sites: Sequence[Site]) -> Table:
    published = slices(sites, text_stream=False)
    kinds = dict.fromkeys((site.block_kind, site.stream) for site in sites)
    groups = {
        f"{kind} 0-{max(site.block for site in group)}"
        f"{f', {stream}' if kind == 'joint' else ''}": group
        for kind, stream in sorted(kinds, key=lambda each: list(BLOCK_KINDS).index(each[0]))
        if (group := [s for s in sites if (s.block_kind, s.stream) == (kind, stream)])
    }
    rows = []
    for name, group in {**groups, "all": list(sites)}.items():
        counted = [unit for unit in published if unit.site in group]
        channels = "-".join(count(c) for c in sorted({site.channels for site in group}))
        rows.append([name, channels if name in groups else "",
                     count(len(heads(group))), count(len(counted)),
                     count(sum(unit.channel_kind == "mlp" for unit in counted))])  # fmt: skip
    headings = ["blocks, stream", "channels", "heads", "slices of 16", "of them MLP"]
    return Table("units by site", headings, rows)


def tokens_table(prompts: PromptSet, by_item: Sequence[Sequence[TokenPlace]]) -> Table:
    rows = []
    for item, row in zip(prompts.items, by_item, strict=True):
        cells = [item]
        for role in ("test", "control"):
            of_role = [p for p, r in zip(row, prompts.roles, strict=True) if r == role]
            cells += [range_text({p.count for p in of_role}),
                      range_text({p.item_position for p in of_role
                                  if p.item_position is not None})]  # fmt: skip
        rows.append(cells)
    return Table(
        "tokens of a prompt, and the token at which the item starts",
        ["item", "test: tokens", "item at", "control: tokens", "item at"],
        rows,
    )


def range_text(values: set[int]) -> str:
    if not values:
        return "–"
    return str(min(values)) if len(values) == 1 else f"{min(values)}-{max(values)}"


def scaled(value: float) -> str:
    for prefix in ("", "k", "M", "G", "T", "P"):
        if value < 1000:
            return f"{value:.3g} {prefix}"
        value /= 1000
    return f"{value:.3g} E"


def print_needs(study: Study, flops: float, console: Console, *, draws: bool) -> None:
    """Print the needs of a study of `flops` operations, which may draw its reference image."""
    model = study.model
    seconds = {name: flops / (REACHED * teraflops * 1e12) for name, teraflops in CARDS.items()}
    each = (f"{duration(needed)} on {name}" for name, needed in seconds.items())
    brief = max(seconds.values()) < 1
    taken = f"under 1 s on {', '.join(seconds)}" if brief else f"about {', '.join(each)}"
    console.print(f"time of the passes  {taken}, if half of their peak in 16 bits is reached")
    if model.path is None:
        console.print(f"download            {download_words(model)}")
    chosen = model.loading.offload
    offloads = dict.fromkeys((chosen, *OFFLOADS))
    by_offload = {offload: stages(model, offload, draws=draws) for offload in offloads}
    if by_offload[chosen]:
        print_table(memory_table(by_offload), console)


def download_words(model: Model) -> str:
    """Return size and licence of a repository, as far as they are known."""
    card, size = card_of(model), download_gb(model)
    if card is None or size is None:
        return f"of {model.repo}; its size is known once its index is on this machine"
    parts = ", ".join(f"{part} {gb:.3g}" for part, gb in card.parts_gb.items())
    accept = f"accept the licence at {card.source} and run `hf auth login`"
    consent = accept if card.gated else "no log-in"
    parts += "".join(f", {part} of unknown size" for part in card.unknown)
    least = "more than " if card.unknown else ""
    return f"{least}{size:.1f} GB ({parts}); licence {card.licence}: {consent}"


def memory_table(by_offload: dict[str, list[Stage]]) -> Table:
    """Return the memory for weights by stage: device and host for every kind of offload."""
    return Table(
        "GiB for weights by model.loading.offload; activations come on top",
        ["stage", *(f"{offload}: {side}" for offload in by_offload for side in ("device", "host"))],
        [[same[0].name, *(f"{gib:.1f}" for stage in same for gib in (stage.device, stage.host))]
         for same in zip(*by_offload.values(), strict=True)],
    )  # fmt: skip


def duration(seconds: float) -> str:
    """Return a time in the unit that fits it: under 1 s, 40 s, 12 min, 3 h."""
    for most, unit, length in ((1, "", 1), (100, "s", 1), (6000, "min", 60)):
        if seconds < most:
            return f"{seconds / length:.0f} {unit}" if unit else "under 1 s"
    return f"{seconds / 3600:.0f} h"


def what_it_can_find(study: Study, prompts: PromptSet, sites: Sequence[Site]) -> tuple[str, Power]:
    """Return what the study's own contrast can find, and the figures behind the sentences.

    The test is that of the headline: the role test, or sign flips of items where wordings do not
    tell the role from the words.
    """
    own, nulls = prompts.of(prompts.contrast()), study.nulls
    flips, items = cast(Flips, nulls.sign_flips), len(own.items)
    unit_set = "heads" if "heads" in study.capture.units else study.capture.units[0]
    tokens = study.capture.tokens
    units = sum(
        tokens == "all" or tokens in unit.site.token_groups for unit in units_of(sites, unit_set)
    )
    steps = study.sampling.steps_per_prompt
    units *= steps
    sample = f"{plural(items, 'item')} and {count(units)} {noun_of(unit_set, steps)}"
    sample += f" ({familywise(nulls.alpha)})"
    roles, strata = own.wording_roles, own.wording_strata
    if enough_for_role_test(roles, strata=strata):
        power, as_much = (
            role_power(
                items, roles, units, strata=strata, ratio=ratio, alpha=nulls.alpha, flips=flips
            )
            for ratio in (0.0, 1.0)
        )
        frames = f" in {len(set(strata))} frames" if strata is not None else ""
        sample = f"{roles.count('test')} + {roles.count('control')} wordings{frames}, {sample}"
        found = (
            f"a role effect of {significant(power.effect)} SDs between wordings if items respond "
            f"alike to the role, and of {significant(as_much.effect)} SDs if they add as much "
            "variance as the wordings"
        )
        more = scenes_clause(study)
    else:
        power = sign_flip_power(items, units, alpha=nulls.alpha, flips=flips)
        found = f"a mean difference of {significant(power.effect)} of its SD over items"
        told = "pictures" if study.templates.has_pictures else "wordings"
        more = f" One pair of {told} cannot tell the role from the {told.removesuffix('s')}."
    if power.note:
        return f"This study cannot find anything: {power.note}.{more}", power
    return (
        f"With {sample}, this study finds {found}, with {percent(POWER)} power. The smallest p is "
        f"{significant(power.smallest_p)}.{more}",
        power,
    )


def scenes_clause(study: Study) -> str:
    """Return what several scenes change about the power of the role test, if they are a sample."""
    if len(study.scenery) == 1 or study.scenes_are != "sample":
        return ""
    few = len(study.scenery) < ENOUGH_SCENES
    better = f" Use {ENOUGH_SCENES} or more where scenes matter." if few else ""
    return (
        f" This is without what {len(study.scenery)} scenes add: the more the role’s difference "
        f"varies between them, the less is found.{better}"
    )
