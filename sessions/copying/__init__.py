"""Owns how sessions move from one store to another while servers use both.

Sessions are copied in passes, each of which carries what has changed since the one before it: `Copier.run_pass`. A
journal, a SQLite file, keeps what was written where, so that a copy that was killed goes on. These files know stores
and the journal; they know neither the command line nor a server.
"""

from .copier import Copier
from .journal import Journal
from .sums import Sums
from .tally import Tally, is_few

__all__ = ["Copier", "Journal", "Sums", "Tally", "is_few"]
