"""The examination of a deployment: its options, secrets and files, its store as it is, and one visit of its site.

It changes nothing. It must not know the command line that prints what it finds.
"""

from .diagnosis import Diagnosis, diagnosed
from .subject import Subject

__all__ = ["Diagnosis", "Subject", "diagnosed"]
