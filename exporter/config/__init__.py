"""From a YAML file to a checked configuration, or to every mistake in it with its line.

The steps, in the order in which a file goes through them:

* :mod:`~exporter.config.reading`: text to a document, plain values that know their lines, with environment
  variables replaced; and what a single value may be.
* :mod:`~exporter.config.validation`: the values against the models of the :mod:`~exporter.config.schema`,
  whose :mod:`~exporter.config.fields` say what one value may be.
* :mod:`~exporter.config.targets`: the clusters out of groups of targets.
* :mod:`~exporter.config.sections`: the models of defaults, profile and entry merged, by what was set;
  :mod:`~exporter.config.cluster_settings` makes of them what the client takes.
* :mod:`~exporter.config.checking`: what takes more than one value to check, and the files that the
  configuration names.
* :mod:`~exporter.config.loader`: these steps for one file, and all files put together.
* :mod:`~exporter.config.cluster_files`: all files loaded, and cluster files scanned for changes.
* :mod:`~exporter.config.masked`: the way back to YAML, without the secrets.

:mod:`~exporter.config.problems` is what is wrong, and where.
"""

from exporter.config.cluster_files import Candidate, ConfigFiles, load_config
from exporter.config.loader import Config, entry_problems, shared_state
from exporter.config.masked import masked_yaml
from exporter.config.problems import ConfigError, Problem, SourceLocation
from exporter.config.reading.database_url import DatabaseUrl, PostgresqlUrl, SqliteUrl, parse_database_url
from exporter.config.reading.values import format_duration, parse_duration
from exporter.config.schema import CleanupConfig, PolicyConfig

__all__ = [
    "Candidate",
    "CleanupConfig",
    "Config",
    "ConfigError",
    "ConfigFiles",
    "DatabaseUrl",
    "PolicyConfig",
    "PostgresqlUrl",
    "Problem",
    "SourceLocation",
    "SqliteUrl",
    "entry_problems",
    "format_duration",
    "load_config",
    "masked_yaml",
    "parse_database_url",
    "parse_duration",
    "shared_state",
]
