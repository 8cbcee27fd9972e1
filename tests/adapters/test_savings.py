"""Settings that make drawing cheaper: what does not fit together is refused before anything is
opened, and what would change nothing is too."""

from __future__ import annotations

import pytest

from harmon_eval import registry
from harmon_eval.adapters._harmon_settings import Settings, draw_settings
from harmon_eval.core import UserError
from harmon_eval.model.sampling import DrawSettings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("annealing=linear", "annealing and final_steps go together: give both, or neither"),
        ("final_steps=5", "annealing and final_steps go together: give both, or neither"),
        ("annealing=linear&final_steps=50", r"must be in 1\.\.40, the diffusion steps, not 50"),
        ("order=gtr&steps=2", "needs at least 3 iterations, not 2"),
        ("solver=ddim&temperature=0.9", "its temperature must be 1"),
        ("cache=-1", "cache=-1: give at least 0"),
        ("adaptive_guidance=1.5", r"adaptive_guidance=1\.5: give -1 to 1"),
        ("spacing=even", "spacing=even: give linspace or trailing"),
        ("cach=3", "no setting 'cach': did you mean 'cache'"),
        ("cfg=1&cache=3", r"nothing is guided \(cfg 1, .* so cache would change nothing"),
        ("guidance=0:0&adaptive_guidance=0.99", "guidance 0:0.* so adaptive_guidance would"),
        ("guidance=0.5:0.5", "holds none of the 16 iterations: give a wider part, or 0:0"),
        ("cache=1", "changes nothing in 16 iterations: .* then in one of every 1"),
        ("cache=3&steps=6", "cache=3 changes nothing in 6 iterations"),
        ("steps=4&guidance=0.8:0.95", "holds none of the 4 iterations"),
        ("cfg=1&guidance=0:0.5", "so guidance would change nothing: leave out guidance"),
    ],
)
def test_what_does_not_fit_together_is_said_before_weights_are_read(given: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        registry.check_model(f"harmon-mini?{given}")
    assert "\n" not in str(raised.value)


def test_what_fits_together_is_taken() -> None:
    own = DrawSettings(cfg_scale=1.0, edit_cfg_scale=2.0)
    assert draw_settings(own, Settings(cache=3)).cache == 3  # edits are guided
    guided = DrawSettings()
    assert draw_settings(guided, Settings(guidance=(0.0, 0.0))).guidance == (0, 0)
    assert draw_settings(guided, Settings(cfg=1.0, cache=0)).cfg_scale == 1
    own = DrawSettings(last_step=900)  # where its head starts, in as many steps as are given
    found = draw_settings(own, Settings(fast=True, diffusion_steps=10))
    assert (found.iterations, found.last_step, found.annealing) == (48, 900, None)
    every = "cache=3&order=gtr&adaptive_guidance=0.99&annealing=linear&final_steps=5&last_step=950"
    assert registry.check_model(f"harmon-mini?{every}&spacing=trailing&solver=dpm-solver%2B%2B")


@pytest.mark.parametrize("given", ["diffusion_steps=1", "last_step=1"])
def test_a_head_that_starts_where_no_noise_is_expected_is_told(
    given: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry.model(f"harmon-mini?{given}", {"device": "cpu"})
    assert "of 1000, so drawings stay noise" in caplog.text
    caplog.clear()
    registry.model("harmon-mini?diffusion_steps=1&spacing=trailing&solver=ddim", {"device": "cpu"})
    assert not caplog.messages
