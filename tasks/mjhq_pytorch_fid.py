"""MJHQ-30K FID by pytorch-fid's preparation (bilinear, no antialias), as some toolkits report it.

Prompts, references and metrics are those of ``mjhq``. The features are those of the suite's
network, fed 2x/255 - 1; pytorch-fid's own build of Inception has the same weights in another
framework's form, so its numbers can differ in the last digits."""

from harmon_eval.tasks.mjhq.task import task

TASK = task("pytorch-fid", data="mjhq_pytorch_fid")
