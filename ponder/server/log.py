"""The server's log: one JSON line an event on stderr, without what people wrote unless the operator asks for it."""

import logging

log = logging.getLogger("ponder.server")
