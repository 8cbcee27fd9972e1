"""MJHQ-30K FID by pytorch-fid's preparation (bilinear, no antialias), as some toolkits report it.

Prompts, references and metrics are those of ``mjhq``."""

from harmon_eval.tasks.mjhq import task

TASK = task("pytorch-fid")
