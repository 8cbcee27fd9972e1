"""MJHQ-30K FID with pytorch-fid's preparation (bilinear, no antialiasing), as in some toolkits.

Prompts, references and metrics are the same as in ``mjhq``. The features come from the suite's
network with 2x/255 - 1 as input. pytorch-fid converts the same Inception weights to another
framework, so its numbers can differ in the last digits."""

from harmon_eval.tasks.mjhq import mini
from harmon_eval.tasks.mjhq.task import task

TASK = task("pytorch-fid", mini.make_tenth)
