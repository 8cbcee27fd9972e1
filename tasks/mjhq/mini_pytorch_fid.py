"""As ``mjhq_gigagan256``: a tenth of the mini suite's MJHQ."""

from harmon_eval.tasks.mjhq.mini_gigagan256 import make as make
