"""What a process sets on its machine: kernels that always add alike, threads that share."""

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


def share_the_processor() -> None:
    """Ask GNU's OpenMP, before it loads, to let threads sleep soon while they wait for each other.

    By default they spin: beside one other busy process on two cores, harmon-mini then draws at
    less than a quarter of its speed. On free cores the short wait costs little (docs/speed.md). No
    result depends on it, and a value that is already set is kept."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
