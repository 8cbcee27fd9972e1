"""MJHQ-30K FID with GigaGAN's preparation (centre crop, Lanczos to 256), as JanusFlow reports it.

Prompts, references and metrics are the same as in ``mjhq``."""

from harmon_eval.tasks.mjhq import mini
from harmon_eval.tasks.mjhq.task import task

TASK = task("gigagan256", mini.make_tenth)
