"""As ``mjhq_gigagan256``: a tenth of the mini suite's MJHQ."""

from harmon_eval.suites.mini.data.mjhq_gigagan256 import make as make
