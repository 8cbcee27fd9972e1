"""EfficientNet-Lite0, trained on ImageNet, as an encoder to probe: ``efficientnet_lite0``.

Its weights come with the extra ``real``, so that a real network can be measured without a download.
"""

from __future__ import annotations

from dataclasses import dataclass

from harmon_eval.adapters._torch import best_device
from harmon_eval.adapters.timm import TimmResponder
from harmon_eval.instruments.features.efficientnet_lite0 import load_network


@dataclass(frozen=True)
class Settings:
    device: str | None = None


def open_model(settings: Settings) -> TimmResponder:
    """Raises UserError without the extra ``real``."""
    network, _ = load_network()
    import timm.data

    network.reset_classifier(0)
    config = timm.data.resolve_model_data_config(network)
    prepare = timm.data.create_transform(**config, is_training=False)
    return TimmResponder("efficientnet_lite0", network.to(best_device(settings.device)), prepare)
