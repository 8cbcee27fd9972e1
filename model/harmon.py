"""Harmon (arXiv 2503.21979): one MAR encoder for seeing and drawing, joined to a causal LLM.

B batch, T prompt length, L = m*n image tokens, V visible ones, K buffers, D MAR width, H LLM width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.cache_utils import DynamicCache

from harmon_eval.model import diffusion
from harmon_eval.model import head as heads
from harmon_eval.model import mar as mars
from harmon_eval.model.config import HarmonConfig, LLMConfig
from harmon_eval.model.mar import Grid, visible_places
from harmon_eval.model.vae import VAE

IMAGE_PLACE = -200
IGNORED_LABEL = -100


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
        attn_implementation="sdpa",
    )


def _projector(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, hidden), nn.SiLU(), nn.Linear(hidden, width_out))


def counted_positions(attention_mask: Tensor) -> Tensor:
    """Position ids (B, T) that count only real tokens, so that padding takes no place."""
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)


class Harmon(nn.Module):
    def __init__(self, config: HarmonConfig) -> None:
        super().__init__()
        d, h = config.mar.width, config.llm.hidden_size
        self.config = config
        self.vae = VAE(config.vae).requires_grad_(False)
        self.mar = mars.MAR(config.mar, config.vae.channels)
        self.head = heads.DiffusionHead(config.head, config.vae.channels, d)
        self.llm = Qwen2ForCausalLM(qwen2_config(config.llm))
        self.proj_in = _projector(d, h, h)
        self.proj_out = _projector(h, h, d)
        mars.initialize(self.mar)
        heads.initialize(self.head)

    @property
    def device(self) -> torch.device:
        return self.mar.fake_latent.device

    @property
    def dtype(self) -> torch.dtype:
        return self.mar.fake_latent.dtype

    # -- seeing ------------------------------------------------------------------------------

    def see(self, tokens: Tensor, visible: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Encode visible tokens: x_enc (B, K+V, D), and z_enc (B, V+K, H), buffers last."""
        x = self.mar.encode(tokens, visible, grid)
        return x, self._buffers_last(self.proj_in(x))

    def see_all(self, latents: Tensor) -> Tensor:
        """Latents (B, m, n, C) to what the LLM reads in the picture's places: (B, L+K, H)."""
        grid = (latents.shape[1], latents.shape[2])
        visible = torch.arange(grid[0] * grid[1], device=latents.device).expand(len(latents), -1)
        return self.see(latents.flatten(1, 2), visible, grid)[1]

    def features(self, latents: Tensor, layer: int = -1, pool: str = "image") -> Tensor:
        """Frozen features (B, D) of latents (B, m, n, C): the mean over tokens of the MAR encoder.

        ``layer`` -1 is the normed output, k >= 0 block k followed by a LayerNorm without
        parameters; ``pool`` is ``image``, ``buffers`` or ``both`` (concatenated, 2D).
        """
        grid = (latents.shape[1], latents.shape[2])
        visible = torch.arange(grid[0] * grid[1], device=latents.device).expand(len(latents), -1)
        x = self.mar.encode(latents.flatten(1, 2).to(self.dtype), visible, grid, layer).float()
        if layer >= 0:
            x = F.layer_norm(x, x.shape[-1:], eps=1e-6)
        buffers, image = x[:, : self.config.mar.buffers], x[:, self.config.mar.buffers :]
        pooled = {"image": [image], "buffers": [buffers], "both": [image, buffers]}
        if pool not in pooled:
            raise ValueError(f"pool must be one of {', '.join(pooled)}, not {pool!r}")
        return torch.cat([part.mean(dim=1) for part in pooled[pool]], dim=-1)

    def _buffers_last(self, x: Tensor) -> Tensor:
        return x.roll(-self.config.mar.buffers, dims=1)

    def _buffers_first(self, x: Tensor) -> Tensor:
        return x.roll(self.config.mar.buffers, dims=1)

    # -- drawing -----------------------------------------------------------------------------

    def prefill(self, input_ids: Tensor) -> DynamicCache:
        """Keys and values of right-padded prompts (B, T).

        No mask is needed: a token never attends to the padding after it, and whatever continues
        is given the mask."""
        return self.llm.model(input_ids=input_ids, use_cache=True).past_key_values

    def join(
        self,
        x_enc: Tensor,
        z_enc: Tensor,
        attention_mask: Tensor,
        cache: DynamicCache | None = None,
        prompt: Tensor | None = None,
    ) -> Tensor:
        """Let the prompt speak into the encoder's output: (B, K+V, D) to (B, K+V, D).

        The prompt (mask (B, T)) is either in ``cache``, left as it was found, or embedded in
        ``prompt`` (B, T, H)."""
        length = attention_mask.shape[1]
        full = F.pad(attention_mask, (0, z_enc.shape[1]), value=1)
        positions = counted_positions(full)
        if cache is None:
            assert prompt is not None
            embeddings = torch.cat([prompt.to(z_enc.dtype), z_enc], dim=1)
        else:
            embeddings, positions = z_enc, positions[:, length:]
        hidden = self.llm.model(
            inputs_embeds=embeddings,
            attention_mask=full,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state[:, -z_enc.shape[1] :]
        if cache is not None:
            cache.crop(-z_enc.shape[1])
        return x_enc + self.proj_out(self._buffers_first(hidden))

    # -- losses ------------------------------------------------------------------------------

    def text2image_loss(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        latents: Tensor,
        mask: Tensor,
        t: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """Masked diffusion loss (paper, eq. of the generation loss; MAR).

        Right-padded prompts (B, T), latents (B, m, n, C), mask (B, L) with True = hidden. ``t``
        (R*B*L,) and ``noise`` (R*B*L, C): R draws of step and noise a token, the whole batch after
        itself. Averaged over hidden tokens only.
        """
        grid = (latents.shape[1], latents.shape[2])
        tokens, visible = latents.flatten(1, 2), visible_places(mask)
        x_enc, z_enc = self.see(tokens, visible, grid)
        prompt = self.llm.get_input_embeddings()(input_ids)
        x = self.join(x_enc, z_enc, attention_mask, prompt=prompt)
        z = self.mar.decode(x, visible, grid)
        draws = len(t) // mask.numel()
        x0 = diffusion.repeat_draws(tokens, draws).flatten(0, 1)
        z = diffusion.repeat_draws(z, draws).flatten(0, 1)
        weights = diffusion.repeat_draws(mask, draws).flatten()
        schedule = diffusion.training_schedule(self.config.head.train_steps)
        xt = diffusion.add_noise(x0, noise, t, schedule)
        output = self.head(xt.to(z.dtype), t, z).float()
        mse, bound = diffusion.loss_terms(output, x0, xt, noise, t, schedule)
        return diffusion.masked_mean(mse + bound, weights)

    def image2text_loss(self, input_ids: Tensor, labels: Tensor, latents: Tensor) -> Tensor:
        """Cross-entropy on the labelled tokens (labels (B, T), others -100), shifted by one.

        ``input_ids`` holds a run of L+K places of value -200 for the picture. The gradient into
        the picture's embeddings is scaled by ``config.visual_grad_scale``.
        """
        return self.token_loss(self.read(input_ids, latents, self.config.visual_grad_scale), labels)

    def text_loss(self, input_ids: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy without a picture. An empty one passes with weight zero, so that every
        parameter has a gradient and distributed training does not wait for it."""
        side = self.config.mar.grid
        empty = self.mar.fake_latent.new_zeros(1, side, side, self.config.vae.channels)
        embeddings = self.llm.get_input_embeddings()(input_ids) + 0.0 * self.see_all(empty).sum()
        return self.token_loss(self.llm(inputs_embeds=embeddings).logits, labels)

    @staticmethod
    def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits[:, :-1].float().flatten(0, 1)
        return F.cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=IGNORED_LABEL)

    # -- answering ---------------------------------------------------------------------------

    def embed(self, input_ids: Tensor, latents: Tensor | None, grad_scale: float = 1.0) -> Tensor:
        """Ids (B, T), pictures in the places marked -200, to embeddings (B, T, H).

        Raises ValueError when places and picture tokens do not match."""
        places = input_ids == IMAGE_PLACE
        embeddings = self.llm.get_input_embeddings()(input_ids.masked_fill(places, 0))
        if latents is None:
            return embeddings
        seen = self.see_all(latents)
        if int(places.sum()) != seen.shape[0] * seen.shape[1]:
            raise ValueError(
                f"{int(places.sum())} picture places for {seen.shape[0]} pictures of "
                f"{seen.shape[1]} tokens"
            )
        if grad_scale != 1.0 and seen.requires_grad:
            seen.register_hook(lambda gradient: gradient * grad_scale)
        return embeddings.masked_scatter(places[..., None], seen.to(embeddings.dtype))

    def read(self, input_ids: Tensor, latents: Tensor | None, grad_scale: float = 1.0) -> Tensor:
        """Logits (B, T, vocabulary) of right-padded ids with pictures in their places."""
        return self.llm(inputs_embeds=self.embed(input_ids, latents, grad_scale)).logits

    @torch.inference_mode()
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        latents: Tensor | None,
        max_new_tokens: int,
        stop_ids: frozenset[int],
    ) -> list[list[int]]:
        """Greedy replies, as token ids without the stop token, to right-padded prompts (B, T).

        Each row stops by itself; rows of different lengths share the KV cache."""
        cache = DynamicCache(config=self.llm.config)
        out = self.llm.model(
            inputs_embeds=self.embed(input_ids, latents), past_key_values=cache, use_cache=True
        )
        last = attention_mask.sum(dim=1) - 1
        hidden = out.last_hidden_state[torch.arange(len(last), device=last.device), last]
        replies: list[list[int]] = [[] for _ in range(len(last))]
        running = set(range(len(last)))
        mask, position = attention_mask, last
        for _ in range(max_new_tokens):
            token = self.llm.lm_head(hidden).argmax(dim=-1)
            for row, value in enumerate(token.tolist()):
                if row in running and value in stop_ids:
                    running.remove(row)
                elif row in running:
                    replies[row].append(value)
            if not running:
                break
            mask, position = F.pad(mask, (0, 1), value=1), position + 1
            hidden = self.llm.model(
                input_ids=token[:, None],
                attention_mask=mask,
                position_ids=position[:, None],
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, -1]
        return replies
