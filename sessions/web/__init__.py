"""The rooms that know Tornado."""

import logging

from .tornado_log import unquoted

logging.getLogger("tornado.general").addFilter(unquoted)
