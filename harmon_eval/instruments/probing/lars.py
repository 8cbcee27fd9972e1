"""Linear probe ``lars-cached``: MAE's recipe (He et al. 2022, arXiv 2111.06377) on stored features.

facebookresearch/mae @ efb2a80: LARS, momentum 0.9, no weight decay, trust coefficient 0.001, 90
epochs, of which 10 are warm-up, then half a cosine; learning rate base * batch / 256; head
initialised with standard deviation 0.01. Features are standardised exactly, which is what MAE's
BatchNorm without affine parameters converges to. If features of several random crops are stored,
each epoch uses the next crop. MAE itself draws a new crop every epoch, so this score is not the MAE
score and is not named after it.

The recipe depends on the size of the data: the weights move by at most about lr * 0.001 per step.
A base rate of 0.1 with batches of 16,384 suits ImageNet. A smaller set uses batches of 128, and its
base learning rate is chosen on a hold-out from the training split.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harmon_eval.instruments.probing.table import Head, Table, hold_out, top1

EPOCHS, WARM_UP, BASE_LR = 90, 10, 0.1
MOMENTUM, TRUST = 0.9, 0.001
IMAGENET_BATCH, SMALL_BATCH = 16_384, 128
IMAGENET_SIZE = 1_000_000
SWEEP = (0.1, 1.0, 10.0, 100.0)
SEED = 0


@dataclass(frozen=True)
class LarsFit:
    head: Head
    base_lr: float


class Lars:
    """LARS (You et al. 2017, arXiv 1708.03888) as in MAE: tensors with more than one dimension get
    weight decay and the trust ratio, others get neither. The momentum does not contain the learning
    rate."""

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float = 0.0) -> None:
        self.parameters = list(parameters)
        self.weight_decay = weight_decay
        self.momentum = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        for p, m in zip(self.parameters, self.momentum, strict=True):
            assert p.grad is not None
            g = p.grad
            if p.ndim > 1:
                g = g + self.weight_decay * p
                size, slope = p.norm(), g.norm()
                if size > 0 and slope > 0:
                    g = g * (TRUST * size / slope)
            m.mul_(MOMENTUM).add_(g)
            p.sub_(lr * m)


def learning_rate(epoch: float, peak: float) -> float:
    """The rate at a (fractional) epoch: linear from 0 to ``peak`` over ten epochs, then half a
    cosine to 0."""
    if epoch < WARM_UP:
        return peak * epoch / WARM_UP
    return peak * 0.5 * (1 + math.cos(math.pi * (epoch - WARM_UP) / (EPOCHS - WARM_UP)))


def fit(views: Sequence[Table], classes: int, base_lr: float, batch: int) -> Head:
    """Train a head on minibatches, read one at a time. The last partial batch is dropped.

    ``views`` are tables of the same images, each with a different random crop (or uncropped).
    Epochs use them in turn."""
    generator = torch.Generator().manual_seed(SEED)
    count, width = len(views[0]), views[0].width
    weight = torch.empty(classes, width)
    nn.init.trunc_normal_(weight, std=0.01, generator=generator)
    weight.requires_grad_()
    bias = torch.zeros(classes, requires_grad=True)
    optimiser = Lars([weight, bias])
    batch = min(batch, count)
    steps = count // batch
    for epoch in range(EPOCHS):
        table = views[epoch % len(views)]
        order = torch.randperm(count, generator=generator).numpy()
        for step in range(steps):
            # Ascending order reads faster from a mapped file; the mean does not depend on order.
            x, labels = table.take(np.sort(order[step * batch : (step + 1) * batch]))
            logits = F.linear(torch.from_numpy(x).float(), weight, bias)
            loss = F.cross_entropy(logits, torch.from_numpy(labels))
            weight.grad, bias.grad = torch.autograd.grad(loss, [weight, bias])
            optimiser.step(learning_rate(epoch + step / steps, base_lr * batch / 256))
    return Head(weight.detach().T.double().numpy(), bias.detach().double().numpy())


def probe(plain: Table, views: Sequence[Table], classes: int) -> LarsFit:
    """Fit as published for a set of ImageNet's size, otherwise with the base rate that is best on
    the hold-out.

    ``plain`` holds the uncropped images. The hold-out uses them, as the test images do."""
    if len(plain) >= IMAGENET_SIZE:
        return LarsFit(fit(views, classes, BASE_LR, IMAGENET_BATCH), BASE_LR)
    kept = [hold_out(view, classes)[0] for view in views]  # the same images in every view
    held = hold_out(plain, classes)[1]
    chosen = BASE_LR
    if len(held):
        scores = {lr: top1(fit(kept, classes, lr, SMALL_BATCH), held) for lr in SWEEP}
        chosen = max(scores, key=scores.__getitem__)
    return LarsFit(fit(views, classes, chosen, SMALL_BATCH), chosen)
