"""MJHQ-30K FID with pytorch-fid's preparation (bilinear, no antialiasing), as some toolkits do it.

Prompts, references and metrics are those of ``mjhq``. The features are those of the suite's
network, fed 2x/255 - 1. pytorch-fid converts the same Inception weights to another framework, so
its numbers can differ in the last digits."""

from harmon_eval.tasks.mjhq import mini
from harmon_eval.tasks.mjhq.task import task

TASK = task("pytorch-fid", mini.make_tenth)
