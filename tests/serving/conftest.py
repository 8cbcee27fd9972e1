"""The mini suite's rewards, on a free port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .servers import Running, of_mini, running


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("served")
    own = of_mini("geneval,geneval:share,geneval:flow_grpo,dpg,wise,wise_verified,mme", home)
    with running(own, home / "images", pickle=True) as found:
        yield found
