"""Print what a study would run: units, tokens and cost. Needs no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

from otherview.models.attention import check_attention
from otherview.models.cost import (
    attribution_passes,
    drawing_calls,
    forward_flops,
    image_tokens,
    responses_bytes,
    vectors_bytes,
)
from otherview.models.hub import cached_folder
from otherview.models.own_files import check_loading
from otherview.models.picture_files import check_images, reference_sizes, transparency_remarks
from otherview.models.pipeline_folder import KLEIN, pipeline_class_name
from otherview.models.scene import scene_texts
from otherview.models.sites import Site, heads, hook_sites, slices
from otherview.models.weights import choose_device, load_tokenizer, transformer_config
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
from otherview.views.console import plain_console
from otherview.views.numbers import count, plural
from otherview.views.plan_needs import print_needs
from otherview.views.power_sentences import what_it_can_find
from otherview.views.table_model import Table, print_table
from otherview.views.vocabulary import BLOCK_KINDS, UNEQUAL_TOKENS


def print_plan(study: Study) -> str:
    """Print units by site, items with their tokens, cost, and what it needs.

    Return what the study can find, in sentences. Raises StudyError for a repository of which
    nothing is known here.
    """
    console = plain_console()
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
    kind = pipeline_name(study.model, folder)
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
    own_contrast = prompts.contrast()
    frames = dict(zip(own_contrast.conditions, own_contrast.frames or (), strict=False))
    for place, condition in enumerate(prompts.conditions):
        frame = f"  (frame: {frames[place]})" if place in frames else ""
        console.print(f"{condition.name:<{width}}{condition}{frame}", soft_wrap=True)
    for contrast in prompts.contrasts[1:]:
        sides = [
            ", ".join(prompts.conditions[place].name for place in side)
            for side in (contrast.test, contrast.control)
        ]
        placebo = f" (placebo of the {contrast.placebo} role)" if contrast.placebo else ""
        console.print(f"{contrast.name}{placebo}: {' against '.join(sides)}")
    if kind != KLEIN:
        console.print(
            f"Token counts and positions are known once a {kind} has made its calls.",
            style="yellow",
        )
    elif folder is None or not (folder / "tokenizer").is_dir():
        console.print(
            f"Token counts and positions were not checked: the tokenizer of {study.model.repo} is "
            "not on this machine.",
            style="yellow",
        )
    else:
        tokenizer = load_tokenizer(folder)
        places = token_places(tokenizer, prompts.prompts, study.model.text_positions)
        check_matched(prompts, places)
        check_lengths(tokenizer, scene_texts(study), study.model.text_positions)
        own = prompts.of(prompts.contrast())
        places = [places[place] for place in prompts.places(prompts.contrast())]
        print_table(tokens_table(own, places), console)
        differing = differing_items(own, places)
        if differing:
            console.print(
                f"For {differing} of {len(prompts.items)} items t{UNEQUAL_TOKENS[1:]}",
                style="yellow",
            )
    tokens = max((image_tokens(study.model, each) for each in references), key=astuple)
    flops = forward_flops(config, study.model.text_positions, tokens)
    calls, sampling = len(prompts.prompts), study.sampling
    each = sampling.passes_per_prompt
    console.print(
        f"\ntokens per pass     {study.model.text_positions} text and pad + "
        f"{tokens.target:,} target + {tokens.reference:,} reference"
    )
    size = study.model.batch_size
    batches = (
        "batches of the size that is best on the device"
        if isinstance(size, str)
        else (f"{-(-calls // size)} batches of {size}")
    )
    more = attribution_passes(study, sites)
    total = calls * each + more.expected
    at = ""
    if sampling.trajectory:
        at = f", each through {plural(each, 'step')} of a trajectory of {sampling.trajectory}"
    elif each > 1:
        at = f", each at {plural(each, 'noise level')}"
    console.print(f"transformer calls   {calls} prompts{at}, in {batches}")
    if more.gradients:
        console.print(
            f"attribution         as long as {count(more.gradients)} passes "
            f"({plural(study.attribution.cotangents, 'cotangent')} per prompt)"
            + (f", {count(more.toward)} more for patches" if more.toward else "")
            + (f", and {count(more.zeroed)} with a site zeroed" if more.zeroed else "")
            + (
                f"; at most {count(more.zeroed_alone)} with a head zeroed alone, of sites where "
                "first order does not hold"
                if more.zeroed and more.zeroed_alone
                else ""
            )
            + (f"; at most {count(more.edges)} for edges of called heads" if more.edges else "")
        )
    for line in picture_lines(study, prompts, kind if not takes else None):
        console.print(line)
    console.print(
        f"transformer FLOPs   {scaled(flops)}FLOP per pass, {scaled(flops * total)}FLOP in all"
    )
    kept = responses_bytes(sites, calls * sampling.steps_per_prompt)
    console.print(f"raw responses       {scaled(kept)}B")
    if study.capture.keeps_means:
        console.print(f"mean vectors        {scaled(vectors_bytes(sites, calls))}B")
    draws = any(references) and any(scene.prompt is not None for scene in study.scenery)
    print_needs(study, flops * total, console, draws=draws)
    for line in (*transparency_remarks(study), *lacking_here(study.model)):
        console.print(line, style="yellow")
    found, power = what_it_can_find(study, prompts, sites)
    console.print(f"\n{found}", style="yellow" if power.note else None)
    return found


def lacking_here(model: Model) -> Iterator[str]:
    """Yield what a run on this machine would stop at. A plan may be for another one."""
    checks: list[Callable[[], object]] = [
        lambda: check_attention(model.attention),
        lambda: check_loading(model),
    ]
    if model.device != "auto":  # which needs no check, and torch for none
        checks.append(lambda: choose_device(model))
    for check in checks:
        try:
            check()
        except StudyError as error:
            yield f"a run on this machine would stop: {error}"


def pipeline_name(model: Model, folder: Path | None) -> str:
    """Return the class of the pipeline of a model: from its folder, or as its YAML says."""
    if folder is not None:
        return pipeline_class_name(folder)
    return KLEIN if model.card is None else model.card.pipeline


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


def tokens_table(prompts: PromptSet, places: Sequence[TokenPlace]) -> Table:
    wordings = len(prompts.conditions)
    rows = []
    for index, item in enumerate(prompts.items):
        row = places[index * wordings : (index + 1) * wordings]
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


def differing_items(prompts: PromptSet, places: Sequence[TokenPlace]) -> int:
    wordings = len(prompts.conditions)
    rows = [places[start : start + wordings] for start in range(0, len(places), wordings)]
    return sum(len(set(row)) > 1 for row in rows)


def scaled(value: float) -> str:
    for prefix in ("", "k", "M", "G", "T", "P"):
        if value < 1000:
            return f"{value:.3g} {prefix}"
        value /= 1000
    return f"{value:.3g} E"
