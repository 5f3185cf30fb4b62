"""Dies of every call; does not come up while the file exists that is named as an argument."""

import os
import sys

from wire import serve, tool


def call(name, params, number):
    print("out of cheese", file=sys.stderr, flush=True)
    os._exit(3)


if sys.argv[1:] and os.path.exists(sys.argv[1]):
    sys.exit("not now")
serve(lambda: [tool("die")], call)
