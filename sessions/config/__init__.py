"""The way from a configuration file to the options, the store and the secret."""

from .file import TABLES, Config, ConfigFile, tables_of_others
from .shown import effective_options, excludes_node

__all__ = ["TABLES", "Config", "ConfigFile", "effective_options", "excludes_node", "tables_of_others"]
