"""The same examples in every run: a red test is then the fault of the change, and a slow machine fails nothing."""

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")
