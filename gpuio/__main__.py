"""``python -m gpuio``: the command line."""

import sys

from gpuio.tools.cli import main

sys.exit(main())
