"""From a YAML file to a checked configuration, or to every mistake in it with its line.

The steps, in the order in which a file goes through them:

* :mod:`~exporter.config.reader`: text to a :mod:`~exporter.config.document`, a tree that knows its lines;
  :mod:`~exporter.config.scalars` is one value, with environment variables put in.
* :mod:`~exporter.config.sections`: every section, its :mod:`~exporter.config.mappings` against the
  :mod:`~exporter.config.schema` (pydantic), to :mod:`~exporter.config.layers` of settings;
  :mod:`~exporter.config.durations`, :mod:`~exporter.config.address`, :mod:`~exporter.config.schedules` and
  :mod:`~exporter.config.state` read single values.
* :mod:`~exporter.config.resolve`: the layers merged into clusters, with :mod:`~exporter.config.checks` of one
  layer, the :mod:`~exporter.config.login` and the :mod:`~exporter.config.files` that are named.
* :mod:`~exporter.config.policies`: likewise the policies of cleanup.
* :mod:`~exporter.config.cluster_files`: likewise one file with more clusters, of those that
  :mod:`~exporter.config.patterns` match; :mod:`~exporter.config.assembly` puts all files together, and
  :mod:`~exporter.config.exposure` warns of those that others can read or write.
* :mod:`~exporter.config.masked`: the way back to YAML, without the secrets.

:mod:`~exporter.config.loader` takes these steps once. :mod:`~exporter.config.discovery` takes them again
while the program runs: :mod:`~exporter.config.sightings` says which cluster files there are,
:mod:`~exporter.config.content` whether one has changed, and :mod:`~exporter.config.watched` whether it has
come to rest since. :mod:`~exporter.config.model` is what comes out, and
:mod:`~exporter.config.problems` what is wrong.
"""

from exporter.config.discovery import Candidate, ConfigFiles
from exporter.config.durations import format_duration, parse_duration
from exporter.config.loader import load_config
from exporter.config.masked import masked_yaml
from exporter.config.model import CleanupConfig, ClusterConfig, Config, PolicyConfig
from exporter.config.policies import shared_state
from exporter.config.problems import ConfigError, Position, Problem

__all__ = [
    "Candidate",
    "CleanupConfig",
    "ClusterConfig",
    "Config",
    "ConfigError",
    "ConfigFiles",
    "PolicyConfig",
    "Position",
    "Problem",
    "format_duration",
    "load_config",
    "masked_yaml",
    "parse_duration",
    "shared_state",
]
