"""Harmon (arXiv 2503.21979): one MAR encoder for understanding and generation, with a causal LLM.

Shapes use B batch, T prompt length, L = m*n image tokens, V visible tokens, K buffers, D MAR width
and H LLM width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harmon_eval.model import head as heads
from harmon_eval.model import llm as llms
from harmon_eval.model import mar as mars
from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.mar import Positions
from harmon_eval.model.masking import as_mask, visible_places
from harmon_eval.model.vae import VAE

IMAGE_PLACE = -200
IGNORED_LABEL = -100


def _projector(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, hidden), nn.SiLU(), nn.Linear(hidden, width_out))


def scaled_gradient(x: Tensor, factor: float) -> Tensor:
    """The same values. In the backward pass, the gradient that comes through here is multiplied by
    ``factor``; gradients that reach x in other ways are not."""
    if factor == 1.0 or not x.requires_grad:
        return x
    x = x.view_as(x)  # a node of its own for the hook
    x.register_hook(lambda gradient: gradient * factor)
    return x


class Harmon(nn.Module):
    def __init__(self, config: HarmonConfig) -> None:
        super().__init__()
        d, h = config.mar.width, config.llm.hidden_size
        self.config = config
        self.vae = VAE(config.vae).requires_grad_(False)
        self.mar = mars.MAR(config.mar, config.vae.channels)
        self.head = heads.DiffusionHead(config.head, config.vae.channels, d)
        self.llm = llms.Qwen2(config.llm)
        self.proj_in = _projector(d, h, h)
        self.proj_out = _projector(h, h, d)
        if not self.mar.fake_latent.is_meta:  # else weights from a file follow
            mars.initialize(self.mar)
            heads.initialize(self.head)
            llms.initialize(self.llm)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        kl16: Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Harmon:
        """Load weights from a bundled name, a folder, a ``.pth`` (with ``kl16.ckpt``) or a hub id.

        ``HarmonPipeline.from_pretrained`` also loads the processor. Raises CheckpointError."""
        from harmon_eval.model.pipeline import HarmonPipeline

        return HarmonPipeline.from_pretrained(name_or_path, kl16, device, dtype).model

    @property
    def device(self) -> torch.device:
        return self.mar.fake_latent.device

    @property
    def dtype(self) -> torch.dtype:
        return self.mar.fake_latent.dtype

    def checkpoint_gradients(self) -> None:
        """Save memory in training by recomputing the blocks of MAR and LLM in the backward pass."""
        self.mar.checkpointing = True
        self.llm.model.checkpointing = True

    # -- encoding images ---------------------------------------------------------------------

    def see(self, tokens: Tensor, visible: Tensor, positions: Positions) -> tuple[Tensor, Tensor]:
        """Encode the visible tokens of (B, L, C).

        Returns x_enc (B, K+V, D) and z_enc (B, V+K, H). The LLM reads z_enc, which is x_enc
        projected and with the buffers last."""
        x = self.mar.encode(tokens, visible, positions)
        return x, self.proj_in(x).roll(-self.config.mar.buffers, dims=1)

    def see_whole(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole images (B, m, n, C): x_con (B, K+L, D), which an edit's decoder reads, and
        the embeddings (B, L+K, H) that the LLM reads."""
        return self.see(*self._all_visible(latents))

    def see_all(self, latents: Tensor) -> Tensor:
        """Latents (B, m, n, C) -> the embeddings (B, L+K, H) that the LLM reads for the image."""
        return self.see_whole(latents)[1]

    def features(self, latents: Tensor, layer: int = -1, pool: str = "image") -> Tensor:
        """Frozen features (B, D) of latents (B, m, n, C): the mean over the MAR encoder's tokens.

        ``layer`` -1 is the normalised output; k >= 0 is block k followed by a LayerNorm without
        parameters. ``pool`` is ``image``, ``buffers`` or ``both`` (image, then buffers: 2D).
        Raises ValueError for any other value.
        """
        pools = {"image": [0], "buffers": [1], "both": [0, 1]}
        if pool not in pools:
            raise ValueError(f"pool must be one of {', '.join(pools)}, not {pool!r}")
        x = self.mar.encode(*self._all_visible(latents), layer)
        return self._means(x, normed=layer < 0)[:, pools[pool]].flatten(1)

    def layer_features(self, latents: Tensor) -> Tensor:
        """``features`` of every block and then of the normalised output, in one pass: means over
        image tokens and over buffers, (B, depth + 1, 2, D)."""
        blocks: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda _, __, output: blocks.append(output))
            for block in self.mar.encoder_blocks
        ]
        try:
            last = self.mar.encode(*self._all_visible(latents))
        finally:
            for hook in hooks:
                hook.remove()
        means = [self._means(x, normed=False) for x in blocks]
        return torch.stack([*means, self._means(last, normed=True)], dim=1)

    def _means(self, x: Tensor, normed: bool) -> Tensor:
        """Means of encoder features (B, K + L, D) over image tokens and over buffers: (B, 2, D)."""
        x = x.float()
        if not normed:
            x = F.layer_norm(x, x.shape[-1:], eps=1e-6)
        buffers, image = x[:, : self.config.mar.buffers], x[:, self.config.mar.buffers :]
        return torch.stack([image.mean(dim=1), buffers.mean(dim=1)], dim=1)

    def _all_visible(self, latents: Tensor) -> tuple[Tensor, Tensor, Positions]:
        batch, rows, columns, _ = latents.shape
        visible = torch.arange(rows * columns, device=latents.device).expand(batch, -1)
        tokens = latents.flatten(1, 2).to(self.dtype)
        return tokens, visible, self.mar.positions((rows, columns))

    # -- generating images -------------------------------------------------------------------

    def join(self, x_enc: Tensor, z_enc: Tensor, attention_mask: Tensor, prompt: Tensor) -> Tensor:
        """Condition the encoder's output on the prompt: (B, K+V, D) -> (B, K+V, D).

        ``prompt`` holds right-padded embeddings (B, T, H), ``attention_mask`` their mask (B, T).
        """
        size = z_enc.shape[1]
        attention_mask = as_mask("attention_mask", attention_mask)
        full = F.pad(attention_mask, (0, size), value=1)  # (B, T + V+K)
        x = torch.cat([prompt.to(z_enc.dtype), z_enc], dim=1)
        mask = llms.causal_mask(full, x)
        hidden = self.llm.model(x, llms.counted_positions(full), mask)[:, -size:]  # (B, V+K, H)
        return self.joined(x_enc, hidden)

    def joined(self, x_enc: Tensor, hidden: Tensor) -> Tensor:
        """The LLM's hidden states (B, V+K, H), buffers last, added to x_enc (B, K+V, D)."""
        return x_enc + self.proj_out(hidden.roll(self.config.mar.buffers, dims=1))

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
        """Masked diffusion loss (the paper's generation loss; MAR), averaged over hidden tokens.

        Takes right-padded prompts (B, T), latents (B, m, n, C) and a mask (B, L) with True =
        hidden. ``t`` (R*B*L,) and ``noise`` (R*B*L, C) hold R draws of step and noise per token:
        the whole batch for the first draw, then for the second, and so on.
        """
        prompt = self.llm.get_input_embeddings()(input_ids)
        return self._drawing_loss(prompt, attention_mask, latents, mask, t, noise)

    def edit_loss(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        sources: Tensor,
        latents: Tensor,
        mask: Tensor,
        t: Tensor,
        noise: Tensor,
        condition: bool = True,
    ) -> Tensor:
        """The diffusion loss of ``latents`` given a source image and an instruction (UniPic-1,
        arXiv 2508.03320).

        ``sources`` (B, m, n, C) fill the places of -200 in ``input_ids`` (B, T), one image a row.
        With ``condition``, the decoder's hidden places also hold the source's features, so both
        images have one grid. Without it, and with the target as its own source, this is the
        reconstruction loss of RecA (arXiv 2509.07295). The other arguments are those of
        ``text2image_loss``. The gradient into the source's embeddings, and that into its features
        in the decoder, are each scaled by ``config.visual_grad_scale``. Raises ValueError if the
        grids differ.
        """
        if condition and sources.shape[1:3] != latents.shape[1:3]:
            raise ValueError(
                f"source and target need one grid of tokens, not {tuple(sources.shape[1:3])} and "
                f"{tuple(latents.shape[1:3])}"
            )
        x_con, seen = self.see_whole(sources)
        scale = self.config.visual_grad_scale
        prompt = self.placed(input_ids, scaled_gradient(seen, scale))
        held = scaled_gradient(x_con, scale) if condition else None
        return self._drawing_loss(prompt, attention_mask, latents, mask, t, noise, held)

    def _drawing_loss(
        self,
        prompt: Tensor,
        attention_mask: Tensor,
        latents: Tensor,
        mask: Tensor,
        t: Tensor,
        noise: Tensor,
        x_con: Tensor | None = None,
    ) -> Tensor:
        """``text2image_loss`` after a prompt of embeddings (B, T, H)."""
        z = self.conditions(prompt, attention_mask, latents, mask, x_con)
        return self.head.loss(z, latents.flatten(1, 2), mask, t, noise)

    def conditions(
        self,
        prompt: Tensor,
        attention_mask: Tensor,
        latents: Tensor,
        mask: Tensor,
        x_con: Tensor | None = None,
    ) -> Tensor:
        """The condition z (B, L, D) of every token of latents (B, m, n, C) of which those in
        ``mask`` (B, L) are hidden, after a prompt of embeddings (B, T, H)."""
        positions = self.mar.positions((latents.shape[1], latents.shape[2]))
        tokens, visible = latents.flatten(1, 2), visible_places(mask)
        x_enc, z_enc = self.see(tokens.to(self.dtype), visible, positions)
        x = self.join(x_enc, z_enc, attention_mask, prompt)
        return self.mar.decode(x, visible, positions, x_con)

    def image2text_loss(self, input_ids: Tensor, labels: Tensor, latents: Tensor) -> Tensor:
        """Cross-entropy on the labelled tokens, shifted by one. Labels (B, T) of -100 are ignored.

        In ``input_ids``, L+K consecutive values of -200 stand for the image. The gradient into the
        image embeddings is scaled by ``config.visual_grad_scale``.
        """
        return self.token_loss(self.read(input_ids, latents, self.config.visual_grad_scale), labels)

    @staticmethod
    def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits[:, :-1].float().flatten(0, 1)
        return F.cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=IGNORED_LABEL)

    # -- reading text and images -------------------------------------------------------------

    def embed(
        self,
        input_ids: Tensor,
        latents: Tensor | None,
        grad_scale: float = 1.0,
        pictures: Sequence[int] | None = None,
    ) -> Tensor:
        """Ids (B, T) -> embeddings (B, T, H). L+K consecutive ids of -200 stand for one image.

        The images (latents (N, m, n, C)) fill these runs in order. With ``pictures``, run i gets
        image number pictures[i], so that an image with several questions is encoded only once.
        Raises ValueError if the number of places does not match the image tokens."""
        if latents is None:
            return self.placed(input_ids, None)
        seen = scaled_gradient(self.see_all(latents), grad_scale)
        return self.placed(input_ids, seen if pictures is None else seen[list(pictures)])

    def placed(self, input_ids: Tensor, seen: Tensor | None) -> Tensor:
        """Embeddings (B, T, H) of ids (B, T), with images as the LLM reads them (N, L+K, H) in the
        runs of -200, in order. Raises ValueError if the numbers of places differ."""
        places = input_ids == IMAGE_PLACE
        embeddings = self.llm.get_input_embeddings()(input_ids.masked_fill(places, 0))
        counts = places.sum(dim=1)
        if seen is None:
            if bool(counts.any()):
                raise ValueError(f"{int(counts.sum())} image places, but no image")
            return embeddings
        size = seen.shape[1]
        if bool((counts % size).any()) or int(counts.sum()) != len(seen) * size:
            raise ValueError(
                f"image places per row {counts.tolist()} for {len(seen)} images of {size} tokens"
            )
        return embeddings.masked_scatter(places[..., None], seen.to(embeddings.dtype))

    def read(self, input_ids: Tensor, latents: Tensor | None, grad_scale: float = 1.0) -> Tensor:
        """Logits (B, T, vocabulary) of right-padded ids, with images in their places."""
        return self.llm(self.embed(input_ids, latents, grad_scale))
