"""Qwen2 as Harmon uses it: its sizes, and positions that skip padding.

The network itself comes from transformers. Shapes use B batch and T length.
"""

from __future__ import annotations

from torch import Tensor
from transformers import Qwen2Config

from harmon_eval.model.config import LLMConfig


def qwen2_config(sizes: LLMConfig) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=sizes.vocab_size,
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=sizes.num_hidden_layers,
        num_attention_heads=sizes.num_attention_heads,
        num_key_value_heads=sizes.num_key_value_heads,
        max_position_embeddings=sizes.max_position_embeddings,
        rms_norm_eps=sizes.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
        tie_word_embeddings=sizes.tie_word_embeddings,
    )


def counted_positions(attention_mask: Tensor) -> Tensor:
    """Position ids (B, T) that count only real tokens and skip padding."""
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)
