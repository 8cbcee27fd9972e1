"""What a process sets on its machine: kernels that always add alike."""

from __future__ import annotations

import os


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
