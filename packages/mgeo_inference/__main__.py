"""`python -m mgeo_inference`: the same as `mgeo`."""

import sys

from mgeo_inference import main

sys.exit(main())
