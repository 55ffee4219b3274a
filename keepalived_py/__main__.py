"""`python -m keepalived_py` is the program `keepalived-py`."""

import sys

from keepalived_py.cli.main import main

sys.exit(main())
