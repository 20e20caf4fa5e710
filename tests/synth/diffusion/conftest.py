"""Small pipelines in every supported layout, saved to a folder once for all tests; weights are random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

VOCABULARY = [chr(code) for code in range(33, 127)]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with sd, sd-inpaint, sdxl, pix2pix and controlnet."""
    import torch

    from synth.diffusion.pipelines import quiet

    root = tmp_path_factory.mktemp("pipelines")
    torch.manual_seed(0)
    with quiet():
        _save_all(root)
    return root


def _save_all(root: Path) -> None:
    import diffusers
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    words = _tokenizer(root / "words")
    plain: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    kinds = (("sd", "StableDiffusionPipeline", 4), ("sd-inpaint", "StableDiffusionInpaintPipeline", 9),
             ("pix2pix", "StableDiffusionInstructPix2PixPipeline", 8))  # fmt: skip
    for name, kind, channels in kinds:
        parts = {"vae": _vae(), "unet": _unet(channels), "scheduler": _scheduler(), "tokenizer": words}
        text = _text(CLIPTextModel, len(words))
        getattr(diffusers, kind)(**parts, text_encoder=text, **plain).save_pretrained(root / name)
    diffusers.StableDiffusionXLPipeline(
        vae=_vae(), text_encoder=_text(CLIPTextModel, len(words)), tokenizer=words, tokenizer_2=words,
        text_encoder_2=_text(CLIPTextModelWithProjection, len(words)), unet=_unet(4, large=True),
        scheduler=diffusers.EulerDiscreteScheduler(),
    ).save_pretrained(root / "sdxl")  # fmt: skip
    control = diffusers.ControlNetModel(
        block_out_channels=(32, 64), layers_per_block=1, in_channels=4, norm_num_groups=8, cross_attention_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), conditioning_embedding_out_channels=(16, 32),
        attention_head_dim=8,
    )  # fmt: skip
    for part in (*control.controlnet_down_blocks.parameters(), *control.controlnet_mid_block.parameters()):
        part.data.normal_(0, 0.5)  # they are made of zeros
    control.controlnet_cond_embedding.conv_out.weight.data.normal_(0, 0.5)
    control.save_pretrained(root / "controlnet")


def _tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer that knows single letters."""
    from transformers import CLIPTokenizer

    folder.mkdir()
    known = [*VOCABULARY, *(f"{letter}</w>" for letter in VOCABULARY), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(known)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def _text(kind: Any, words: int) -> Any:
    from transformers import CLIPTextConfig

    config = CLIPTextConfig(
        vocab_size=words, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=77, projection_dim=32, bos_token_id=words - 2, eos_token_id=words - 1,
        pad_token_id=words - 1,
    )  # fmt: skip
    return kind(config).eval()


def _vae() -> Any:
    import diffusers

    return diffusers.AutoencoderKL(
        block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=8,
    )  # fmt: skip


def _unet(channels: int, *, large: bool = False) -> Any:
    import diffusers

    options: dict[str, Any] = {"attention_head_dim": 8}
    if large:
        options = {
            "attention_head_dim": (2, 4), "use_linear_projection": True, "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8, "transformer_layers_per_block": (1, 2),
            "projection_class_embeddings_input_dim": 80,
        }  # fmt: skip
    return diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=32, in_channels=channels, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64 if large else 32, norm_num_groups=8, **options,
    )  # fmt: skip


def _scheduler() -> Any:
    import diffusers

    return diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
