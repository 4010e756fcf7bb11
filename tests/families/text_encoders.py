"""Text encoders of two layers, with random weights."""

from __future__ import annotations

from typing import Any

import transformers
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

WIDTH = 32
"""Channels of every text encoder."""

LAYERS = 2


def language_model(tokenizer: Any, layers: int = LAYERS) -> dict[str, Any]:
    """Return the settings that the configs of Llama, Qwen, Gemma and others share."""
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
    }


def special_ids(tokenizer: Any) -> dict[str, int]:
    """Return Qwen's markers around pictures, as its configs name them."""
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}


def clip(tokenizer: Any, *, projection: bool = True, width: int = WIDTH) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_size=width,
        intermediate_size=48,
        projection_dim=width,
        num_attention_heads=4,
        num_hidden_layers=LAYERS,
        hidden_act="gelu",
    )
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return kind(config)


def t5(tokenizer: Any, kind: str = "T5", width: int = WIDTH) -> Any:
    """Return the encoder of `kind`: T5 or UMT5, whose layers each have a position bias."""
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=8,
        d_ff=48,
        num_layers=LAYERS,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return getattr(transformers, f"{kind}EncoderModel")(config)


def qwen3(tokenizer: Any, kind: str = "Qwen3Model", layers: int = LAYERS) -> Any:
    config = transformers.Qwen3Config(**language_model(tokenizer, layers))
    return getattr(transformers, kind)(config)


def qwen25_vl(tokenizer: Any, layers: int = LAYERS) -> Any:
    text = language_model(tokenizer, layers)
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
    config = transformers.Qwen2_5_VLConfig(
        text_config={**text, "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [1],
        },
        **special_ids(tokenizer),
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def mistral3(tokenizer: Any, layers: int = LAYERS) -> Any:
    """Return Mistral's model for words and pictures."""
    config = transformers.Mistral3Config(
        text_config={"model_type": "mistral", **language_model(tokenizer, layers)},
        vision_config={
            "model_type": "pixtral",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
    )
    return transformers.Mistral3ForConditionalGeneration(config)


def gemma2(tokenizer: Any) -> Any:
    return transformers.Gemma2Model(transformers.Gemma2Config(**language_model(tokenizer)))


def qwen3_vl(tokenizer: Any, layers: int = LAYERS) -> Any:
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 1, 1]}
    config = transformers.Qwen3VLConfig(
        text_config={**language_model(tokenizer, layers), "rope_parameters": rope},
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **special_ids(tokenizer),
    )
    return transformers.Qwen3VLModel(config)


def llama(tokenizer: Any, kind: str = "LlamaModel", layers: int = LAYERS) -> Any:
    config = transformers.LlamaConfig(**language_model(tokenizer, layers))
    return getattr(transformers, kind)(config)


def glm(tokenizer: Any) -> Any:
    """Return the text encoder of CogView4."""
    return transformers.GlmModel(transformers.GlmConfig(**language_model(tokenizer)))


def smol(tokenizer: Any, layers: int = LAYERS) -> Any:
    """Return the text encoder of Bria FIBO."""
    config = transformers.SmolLM3Config(**language_model(tokenizer, layers))
    return transformers.SmolLM3ForCausalLM(config)


def t5_gemma(tokenizer: Any) -> Any:
    """Return the text encoder of PRX. In a folder, diffusers reads its settings from `encoder`."""
    settings = {**language_model(tokenizer), "query_pre_attn_scalar": 8, "dropout_rate": 0.0}
    config = transformers.T5GemmaModuleConfig(**settings, encoder=settings)
    return T5GemmaEncoder(config)


def bert(tokenizer: Any) -> Any:
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
    )
    return transformers.BertModel(config)


def clip_vision() -> Any:
    """Return what reads the reference picture of Wan 2.1, at 28 x 28 pixels."""
    config = transformers.CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=48,
        projection_dim=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        image_size=28,
        patch_size=14,
    )
    return transformers.CLIPVisionModel(config)
