"""What a process sets on its machine: its own accelerator, and kernels that always add alike."""

from __future__ import annotations

import os
from collections.abc import Mapping

from harmon_eval.core import UserError
from harmon_eval.running.processes import Launch


def take_own_accelerator(launch: Launch, environment: Mapping[str, str]) -> None:
    """Of several processes on one machine each takes the GPU of its LOCAL_RANK as "cuda"."""
    local = environment.get("LOCAL_RANK", "")
    if launch.size == 1 or not local:
        return
    if not local.isdigit():
        raise UserError(f"LOCAL_RANK {local!r} must be a whole number")
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(local) % torch.cuda.device_count())


def deterministic_kernels() -> None:
    """For ``--exact``: no kernel that adds in an order of its own, no TF32, one CPU thread.

    Must come before the first use of CUDA. Source: PyTorch's notes on reproducibility."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
