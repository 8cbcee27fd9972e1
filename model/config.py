"""All sizes of Harmon in one place. The presets are named as in the paper."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

PREDICTIONS = ("noise", "velocity")


@dataclass(frozen=True)
class VAEConfig:
    """KL-16 of the latent-diffusion family: it halves the size 4 times, so one latent stands for a
    16x16 patch of pixels."""

    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    channels: int = 16
    scale: float = 0.2325

    @property
    def stride(self) -> int:
        return 2 ** (len(self.multipliers) - 1)


@dataclass(frozen=True)
class MARConfig:
    """Masked autoregressive encoder and decoder (Li et al. 2024), both of the same depth.

    ``grid`` is the native token grid of the position tables. ``classes`` is the number of rows of a
    class embedding that the checkpoints contain but Harmon never uses (0: none)."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    buffers: int = 64
    grid: int = 16
    classes: int = 1000
    dropout: float = 0.1
    mask_ratio_mean: float = 1.0
    mask_ratio_std: float = 0.25
    mask_ratio_min: float = 0.7


@dataclass(frozen=True)
class HeadConfig:
    """Diffusion head: an MLP applied to each token.

    ``max_beta`` caps the betas of the noise schedule: 0.999, in UniPic-1 0.2.
    ``prediction`` is ``noise``, as published, or ``velocity`` (Salimans & Ho 2022), as in the
    bundled model. With noise prediction, the first sampling step would multiply the error of that
    small head by 20,000."""

    width: int = 1024
    depth: int = 6
    train_steps: int = 1000
    draws_per_token: int = 4
    prediction: str = "noise"
    max_beta: float = 0.999

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(
                f"prediction must be one of {', '.join(PREDICTIONS)}, not {self.prediction!r}"
            )
        if not 0 < self.max_beta < 1:
            raise ValueError(f"max_beta must be between 0 and 1, not {self.max_beta}")


@dataclass(frozen=True)
class LLMConfig:
    """Qwen2 sizes, with the names of ``transformers.Qwen2Config``."""

    vocab_size: int = 151936
    hidden_size: int = 896
    intermediate_size: int = 4864
    num_hidden_layers: int = 24
    num_attention_heads: int = 14
    num_key_value_heads: int = 2
    max_position_embeddings: int = 32768
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1_000_000.0
    tie_word_embeddings: bool = True

    @property
    def head_width(self) -> int:
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True)
class HarmonConfig:
    """All of Harmon. ``image_size`` is the default size in pixels of generated and read images."""

    vae: VAEConfig = field(default_factory=VAEConfig)
    mar: MARConfig = field(default_factory=MARConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    llm: LLMConfig = field(default_factory=LLMConfig)
    image_size: int = 512
    visual_grad_scale: float = 0.1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> HarmonConfig:
        """Inverse of ``to_dict``, through JSON too. Raises TypeError on unknown keys."""
        parts = dict(values)
        vae = dict(parts.pop("vae", {}))
        if "multipliers" in vae:
            vae["multipliers"] = tuple(vae["multipliers"])
        return cls(
            vae=VAEConfig(**vae),
            mar=MARConfig(**parts.pop("mar", {})),
            head=HeadConfig(**parts.pop("head", {})),
            llm=LLMConfig(**parts.pop("llm", {})),
            **parts,
        )


# Harmon-0.5B is MAR-B (the defaults of MARConfig) with Qwen2.5-0.5B; Harmon-1.5B is MAR-H with
# Qwen2.5-1.5B.
HARMON_0_5B = HarmonConfig()
HARMON_1_5B = HarmonConfig(
    mar=MARConfig(width=1280, depth=20, heads=16),
    head=HeadConfig(width=1536, depth=12),
    llm=LLMConfig(
        hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12
    ),
)
# Skywork-UniPic-1.5B (arXiv 2508.03320): Harmon-1.5B at 1024 px, with another noise schedule.
UNIPIC_1 = replace(
    HARMON_1_5B,
    mar=replace(HARMON_1_5B.mar, grid=32),
    head=replace(HARMON_1_5B.head, max_beta=0.2),
    image_size=1024,
)
# The sizes of the bundled model.
HARMON_MINI = HarmonConfig(
    vae=VAEConfig(width=32, blocks=1, scale=1.0),
    mar=MARConfig(
        width=160,
        depth=3,
        heads=5,
        buffers=8,
        grid=4,
        classes=0,
        dropout=0.0,
        mask_ratio_std=0.35,
        mask_ratio_min=0.3,
    ),
    head=HeadConfig(width=256, depth=3, draws_per_token=2, prediction="velocity"),
    llm=LLMConfig(
        vocab_size=100,
        hidden_size=160,
        intermediate_size=424,
        num_hidden_layers=4,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=1024,
    ),
    image_size=64,
)

PRESETS = {
    "harmon-0.5b": HARMON_0_5B,
    "harmon-1.5b": HARMON_1_5B,
    "unipic-1": UNIPIC_1,
    "harmon-mini": HARMON_MINI,
}
