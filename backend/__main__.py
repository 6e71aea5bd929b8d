"""`python -m backend VERB`."""

import sys

from .cli import main

sys.exit(main())
