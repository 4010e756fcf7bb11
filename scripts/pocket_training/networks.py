"""The pipeline's parts at pocket size, built from the classes that FLUX.2 Klein uses."""

import json
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

from otherview.pocket.rendering import CHANNELS
from otherview.pocket.words import corpus
from pocket_training.codec import COMPONENTS, Codec, plant_encoder

HEADS, HEAD_WIDTH = 6, 16
JOINT_BLOCKS, SINGLE_BLOCKS = 2, 4
TEXT_WIDTH = 64
TEXT_LAYERS = 28
"""So that the pipeline's default layers 9, 18 and 27 exist."""

PRETOKENIZE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"
)


def tokenizer() -> Any:
    """A byte-level BPE in which every word of the corpus is one token."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(corpus(), trainer)
    model = json.loads(trained.to_str())["model"]
    built = Qwen2TokenizerFast(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        model_max_length=131072,
    )
    built.add_tokens(["<think>", "</think>"], special_tokens=False)
    built.chat_template = CHAT
    return built


@torch.no_grad()
def text_encoder(vocabulary: Any, seed: int) -> Any:
    """A Qwen3 with random, frozen weights, scaled so that words stay apart through its layers."""
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(vocabulary),
            hidden_size=TEXT_WIDTH,
            intermediate_size=TEXT_WIDTH // 2,
            num_hidden_layers=TEXT_LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            pad_token_id=vocabulary.pad_token_id,
            bos_token_id=None,
            eos_token_id=vocabulary.eos_token_id,
        )
    )
    model.model.embed_tokens.weight.normal_(0, 1)
    for layer in model.model.layers:
        for weight in layer.parameters():
            if weight.ndim == 2:
                weight.normal_(0, weight.shape[1] ** -0.5)
        layer.self_attn.o_proj.weight.mul_(0.6)
        layer.mlp.down_proj.weight.mul_(0.3)
        layer.self_attn.q_norm.weight.fill_(1.5)
        layer.self_attn.k_norm.weight.fill_(1.5)
    # what ships is fp16: the prompts must mean the same before and after
    return model.half().float().eval().requires_grad_(False)


def autoencoder(codec: Codec) -> Any:
    """The VAE: the codec as its encoder, an untrained decoder."""
    vae = AutoencoderKLFlux2(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=COMPONENTS,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )
    plant_encoder(vae, codec)
    return vae.eval()


def transformer(seed: int, heads: int = HEADS) -> Any:
    """An untrained transformer whose output is the noise that it was given.

    The input is embedded by an orthonormal matrix and read out by its transpose, modulations start
    at zero: training starts from the identity and only has to learn the picture.
    """
    torch.manual_seed(seed)
    model = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=CHANNELS,
        num_layers=JOINT_BLOCKS,
        num_single_layers=SINGLE_BLOCKS,
        attention_head_dim=HEAD_WIDTH,
        num_attention_heads=heads,
        joint_attention_dim=3 * TEXT_WIDTH,
        timestep_guidance_channels=64,
        mlp_ratio=3.0,
        axes_dims_rope=(4, 4, 4, 4),
        rope_theta=100,
        guidance_embeds=False,
    )
    width = heads * HEAD_WIDTH
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                if "modulation" in name or "norm_out" in name:
                    weight.zero_()
                else:
                    torch.nn.init.xavier_uniform_(weight)
        torch.nn.init.orthogonal_(model.x_embedder.weight)
        model.proj_out.weight.copy_(model.x_embedder.weight.T * (CHANNELS / width) ** 0.5)
    return model


def random_transformer(seed: int) -> Any:
    """The same architecture with random weights in every layer.

    The weights of `transformer` have modulations of zero and so pass their
    input through; here they are drawn too, so that every head has something to say.
    """
    model = transformer(seed + 300)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and ("modulation" in name or "norm_out" in name):
                weight.normal_(0, weight.shape[1] ** -0.5)
    return model.eval()


def scheduler() -> Any:
    """FLUX.2's flow-matching Euler scheduler with its published shifts."""
    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000,
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
        time_shift_type="exponential",
    )


def pipeline(vae: Any, encoder: Any, vocabulary: Any, denoiser: Any) -> Any:
    """The parts as one `Flux2KleinPipeline`, undistilled, so that guidance works."""
    return Flux2KleinPipeline(
        scheduler=scheduler(),
        vae=vae,
        text_encoder=encoder,
        tokenizer=vocabulary,
        transformer=denoiser,
        is_distilled=False,
    )
