"""From a YAML file to a checked configuration, or to every mistake in it with its line.

The steps, in the order in which a file goes through them:

* :mod:`~exporter.config.reading`: text to plain values and their lines, with environment variables replaced;
  also the parsers of single values, such as URLs, durations and addresses.
* :mod:`~exporter.config.validation`: the values to the models of the :mod:`~exporter.config.schema`, whose
  :mod:`~exporter.config.fields` say what one value may be.
* :mod:`~exporter.config.cluster_file`: what a cluster file says, groups of targets (file_sd) to clusters.
* :mod:`~exporter.config.sections`: the models of defaults, profile and entry, merged by what was set.
* :mod:`~exporter.config.checking`: values that depend on each other, and the files that the configuration
  names, checked; the merged models to the settings of each cluster.
* :mod:`~exporter.config.assembly`: these steps for one file, and all files put together.
* :mod:`~exporter.config.config_files`: all files loaded, and cluster files scanned for changes.
* :mod:`~exporter.config.plan_file`: the saved plan that a policy names.
* :mod:`~exporter.config.masked`: the applied configuration as YAML, without the secrets.

:mod:`~exporter.config.problems` is what is wrong, and where.
"""

from exporter.config.assembly import Config
from exporter.config.cluster_file import entry_problems
from exporter.config.config_files import ConfigFiles, load_config
from exporter.config.masked import masked_yaml
from exporter.config.problems import ConfigError, Problem
from exporter.config.reading.database_url import DatabaseUrl, PostgresqlUrl, SqliteUrl
from exporter.config.reading.values import format_duration, parse_duration
from exporter.config.schema import CleanupConfig, PolicyConfig

__all__ = [
    "CleanupConfig",
    "Config",
    "ConfigError",
    "ConfigFiles",
    "DatabaseUrl",
    "PolicyConfig",
    "PostgresqlUrl",
    "Problem",
    "SqliteUrl",
    "entry_problems",
    "format_duration",
    "load_config",
    "masked_yaml",
    "parse_duration",
]
