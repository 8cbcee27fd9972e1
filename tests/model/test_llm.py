"""Our Qwen2 computes what transformers' Qwen2 computes, with the same names of weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.release import in_transformers
from harmon_eval.model.config import LLMConfig
from harmon_eval.model.llm import Qwen2, add_tokens, causal_mask, counted_positions, initialize

SIZES = {
    "grouped queries": LLMConfig(60, 48, 80, 3, 6, 2, 256, rope_theta=10_000.0),
    "a key for each query, not tied": LLMConfig(60, 48, 80, 2, 3, 3, tie_word_embeddings=False),
}


def random(config: LLMConfig) -> Qwen2:
    torch.manual_seed(0)
    llm = Qwen2(config)
    initialize(llm)
    for parameter in llm.parameters():  # biases and norms too
        parameter.data += 0.2 * torch.randn_like(parameter)
    return llm.eval()


@pytest.fixture(params=SIZES)
def llm(request: pytest.FixtureRequest) -> Qwen2:
    return random(SIZES[request.param])


def test_it_has_the_names_of_the_published_weights(llm: Qwen2) -> None:
    theirs = in_transformers(llm).state_dict()
    assert theirs.keys() == llm.state_dict().keys()


def test_logits_are_those_of_transformers(llm: Qwen2) -> None:
    ids = torch.randint(0, 60, (2, 40))
    expected = in_transformers(llm)(ids).logits
    torch.testing.assert_close(llm(llm.get_input_embeddings()(ids)), expected, rtol=1e-5, atol=1e-5)


def padded(llm: Qwen2) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings with padding inside a row, as between a prompt and an image, and the two hidden
    states at real tokens: ours and theirs."""
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[0, 4:7] = 0
    x = torch.randn(2, 12, 48, requires_grad=True)
    ours = llm.model(x, counted_positions(mask), causal_mask(mask, x))
    theirs = in_transformers(llm).model(
        inputs_embeds=x, attention_mask=mask, position_ids=counted_positions(mask)
    )
    real = mask.bool()
    return x, ours[real], theirs.last_hidden_state[real]


def test_hidden_states_and_gradients_around_padding_are_those_of_transformers(llm: Qwen2) -> None:
    x, ours, theirs = padded(llm)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    ((mine,), (other,)) = (torch.autograd.grad(y.square().sum(), x) for y in (ours, theirs))
    torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


def test_recomputing_layers_in_the_backward_pass_changes_no_gradient(llm: Qwen2) -> None:
    x = torch.randn(1, 9, 48)
    found = []
    for again in (False, True):
        llm.train().model.checkpointing = again
        llm.zero_grad()
        llm(x).square().mean().backward()
        found.append(llm.model.layers[0].mlp.up_proj.weight.grad.clone())
    torch.testing.assert_close(*found)


def test_rotations_are_computed_in_float32_whatever_the_weights_are(llm: Qwen2) -> None:
    """In bfloat16, position 200 would be rotated by a radian too much or too little."""
    places = torch.arange(200)[None]
    exact = llm.model.rotation(places, torch.float32)
    rounded = llm.to(torch.bfloat16).model.rotation(places, torch.bfloat16)
    for wide, narrow in zip(exact, rounded, strict=True):
        torch.testing.assert_close(narrow.float(), wide, rtol=0, atol=2**-8)


def test_new_tokens_keep_the_old_rows_and_the_tie(llm: Qwen2) -> None:
    before = llm.model.embed_tokens.weight.detach().clone()
    add_tokens(llm, 3)
    assert llm.model.embed_tokens.weight.shape == (63, 48) and llm.config.vocab_size == 63
    assert torch.equal(llm.model.embed_tokens.weight[:60], before)
    assert llm(torch.randn(1, 2, 48)).shape == (1, 2, 63)
    tied = llm.lm_head.weight is llm.model.embed_tokens.weight
    assert tied == llm.config.tie_word_embeddings
