import sys

from harmon_eval.cli import main

sys.exit(main())
