"""Linear probe ``lbfgs``: logistic regression as a convex problem, without a learning rate.

It minimises the mean cross-entropy + (lambda / 2) * ||W||^2 in float64 with full batches, starting
at zero; the bias has no penalty. L-BFGS with memory 10 (scipy's, strong Wolfe) runs until the
gradient is at most 1e-5, or for 1,000 iterations. The result equals scikit-learn's
``LogisticRegression(C=1 / (lambda * N))``, but features are read in chunks, so the table may be
larger than memory. Lambda is chosen on a hold-out from the training split. CLIP's linear probe
(Radford et al. 2021, arXiv 2103.00020, A.3) is of this kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from harmon_eval.instruments.probing.table import Head, Table, hold_out, top1

STRENGTHS = tuple(10.0**power for power in range(-1, -8, -1))  # strong to weak
DEFAULT_STRENGTH = 1e-4  # used if nothing can be held out
MEMORY, GRADIENT, ITERATIONS = 10, 1e-5, 1000


@dataclass(frozen=True)
class Fit:
    """``gradient`` is its largest absolute entry at the end; ``loss`` includes the penalty."""

    head: Head
    strength: float
    loss: float
    gradient: float
    iterations: int

    @property
    def converged(self) -> bool:
        return self.gradient <= GRADIENT


def loss_and_gradient(
    flat: np.ndarray, table: Table, classes: int, strength: float
) -> tuple[float, np.ndarray]:
    """Loss and gradient at ``flat``: the weight (D, K) with the bias (K,) below it, flattened. The
    gradient has the same form."""
    both = flat.reshape(table.width + 1, classes)
    head = Head(both[:-1], both[-1])
    loss, gradient = 0.0, np.zeros_like(both)
    for x, labels in table.chunks():
        logits = head.logits(x)
        log_sum = logsumexp(logits, axis=1, keepdims=True)
        own = np.arange(len(labels)), labels
        loss += float((log_sum[:, 0] - logits[own]).sum())
        residual = np.exp(logits - log_sum)
        residual[own] -= 1
        gradient[:-1] += x.T @ residual
        gradient[-1] += residual.sum(axis=0)
    gradient /= len(table)
    gradient[:-1] += strength * head.weight
    penalty = strength / 2 * float(np.square(head.weight).sum())
    return loss / len(table) + penalty, gradient.ravel()


def fit(table: Table, classes: int, strength: float, start: Head | None = None) -> Fit:
    """The minimum for one lambda, starting at zero or at another solution."""
    shape = table.width + 1, classes
    first = np.zeros(shape) if start is None else np.vstack([start.weight, start.bias])
    found = minimize(
        loss_and_gradient,
        first.ravel(),
        args=(table, classes, strength),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxcor": MEMORY,
            "gtol": GRADIENT,
            "ftol": 64 * np.finfo(np.float64).eps,
            "maxiter": ITERATIONS,
            "maxfun": 20 * ITERATIONS,
        },
    )
    both = found.x.reshape(shape)
    reached = float(np.abs(found.jac).max())
    return Fit(Head(both[:-1], both[-1]), strength, float(found.fun), reached, int(found.nit))


def choose_strength(table: Table, classes: int) -> float:
    """The lambda that is best on the hold-out; ties go to the strongest."""
    kept, held = hold_out(table, classes)
    if not len(held):
        return DEFAULT_STRENGTH
    best, chosen, start = -1.0, DEFAULT_STRENGTH, None
    for strength in STRENGTHS:
        start = fit(kept, classes, strength, start).head
        if (score := top1(start, held)) > best:
            best, chosen = score, strength
    return chosen


def probe(table: Table, classes: int) -> Fit:
    """Choose lambda on a hold-out of the table, then fit the whole table."""
    return fit(table, classes, choose_strength(table, classes))
