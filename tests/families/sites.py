"""Where every family's heads are read, and which tokens are there in what order.

Tokens are `text`, `target`, `reference`, or `-`: none of them, such as registers and pads that the
transformer itself adds. `target+reference`: the target's tokens have the picture in their channels.
"""

from __future__ import annotations

from typing import NamedTuple


class Site(NamedTuple):
    tokens: str

    kind: str = "attn"
    """What the Linear is given: what attention returned (`attn`), the same and MLP channels
    (`attn|mlp`), attention to other tokens (`cross`), to text and picture, added up (`cross sum`),
    linear attention (`linear`), or what attention returned times a gate (`gated`)."""


Sites = dict[str, Site]
"""By the name of the Linear, `*` for any number."""

DUAL = "transformer_blocks.*.attn."


def streams(image: str, text: str = "text", blocks: str = DUAL) -> Sites:
    return {f"{blocks}to_out.0": Site(image), f"{blocks}to_add_out": Site(text)}


def flux1(image: str) -> Sites:
    single = Site(f"text {image}", "attn|mlp")
    return streams(image) | {"single_transformer_blocks.*.proj_out": single}


def flux2(image: str) -> Sites:
    single = Site(f"text {image}", "attn|mlp")
    return streams(image) | {"single_transformer_blocks.*.attn.to_out": single}


def hunyuan(text: str) -> Sites:
    single = Site(f"target {text}", "attn|mlp")
    refiner = "context_embedder.token_refiner.refiner_blocks.*.attn.to_out.0"
    return (
        {refiner: Site("text")}
        | streams("target", text)
        | {"single_transformer_blocks.*.proj_out": single}
    )


def self_and_cross(blocks: str, tokens: str = "target", kind: str = "cross") -> Sites:
    return {
        f"{blocks}.attn1.to_out.0": Site(tokens),
        f"{blocks}.attn2.to_out.0": Site(tokens, kind),
    }


LINEAR = {"transformer_blocks.*.attn1.to_out.0": Site("target", "linear")}
FLUX1 = flux1("target")
SD3 = streams("target")
PIXART = self_and_cross("transformer_blocks.*")
SANA = PIXART | LINEAR
UNET = "attentions.*.transformer_blocks.*"

SITES: dict[str, Sites] = {
    "flux2_klein": flux2("target reference"),
    "flux2_klein_kv": flux2("reference target"),
    "flux2_dev": flux2("target reference"),
    "flux1": FLUX1,
    "flux1_schnell": FLUX1,
    "flux1_kontext": flux1("target reference"),
    "flux1_fill": flux1("target+reference"),
    "flux1_control": flux1("target+reference"),
    "sd3": SD3,
    "sd35_medium": SD3 | {"transformer_blocks.*.attn2.to_out.0": Site("target")},
    "qwen_image": streams("target"),
    "qwen_image_edit": streams("target reference"),
    "qwen_image_edit_plus": streams("target reference"),
    "z_image": {
        "noise_refiner.*.attention.to_out.0": Site("target -"),
        "context_refiner.*.attention.to_out.0": Site("text -"),
        "layers.*.attention.to_out.0": Site("target - text -"),
    },
    "lumina2": {
        "context_refiner.*.attn.to_out.0": Site("text -"),
        "noise_refiner.*.attn.to_out.0": Site("target"),
        "layers.*.attn.to_out.0": Site("text target"),
    },
    "aura_flow": streams("target", "- text", "joint_transformer_blocks.*.attn.")
    | {"single_transformer_blocks.*.attn.to_out.0": Site("- text target")},
    "chroma": FLUX1,
    "bria": FLUX1,
    "bria_fibo": FLUX1,
    "ovis_image": FLUX1,
    "longcat_image": FLUX1,
    "longcat_image_edit": flux1("target reference"),
    "krea2": {
        "text_fusion.layerwise_blocks.*.attn.to_out.0": Site("text", "gated"),
        "text_fusion.refiner_blocks.*.attn.to_out.0": Site("text", "gated"),
        "transformer_blocks.*.attn.to_out.0": Site("text target", "gated"),
    },
    "cogview4": {"transformer_blocks.*.attn1.to_out.0": Site("text target")},
    "hidream": {
        "double_stream_blocks.*.block.attn1.to_out": Site("target -"),
        "double_stream_blocks.*.block.attn1.to_out_t": Site("text"),
        "single_stream_blocks.*.block.attn1.to_out": Site("target - text"),
    },
    "hunyuan_image": hunyuan("text - text"),
    "hunyuan_dit": self_and_cross("blocks.*"),
    "prx": {"blocks.*.attention.to_out.0": Site("target", "cross")},
    "kandinsky5_t2i": {
        "text_transformer_blocks.*.self_attention.out_layer": Site("text"),
        "visual_transformer_blocks.*.self_attention.out_layer": Site("target"),
        "visual_transformer_blocks.*.cross_attention.out_layer": Site("target", "cross"),
    },
    "pixart_alpha": PIXART,
    "pixart_sigma": PIXART,
    "sana": SANA,
    "sana_sprint": SANA,
    "sdxl": self_and_cross(f"down_blocks.*.{UNET}")
    | self_and_cross(f"mid_block.{UNET}")
    | self_and_cross(f"up_blocks.*.{UNET}"),
    "wan": self_and_cross("blocks.*"),
    "wan22": self_and_cross("blocks.*"),
    "wan_i2v": self_and_cross("blocks.*", "target+reference", "cross sum"),
    "hunyuan_video": hunyuan("text"),
    "ltx": PIXART,
    "ltx_i2v": self_and_cross("transformer_blocks.*", "target+reference target"),
}
