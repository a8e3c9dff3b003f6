"""Who may see the pages: TLS, passwords and a rate limit, in the format of Prometheus's exporter-toolkit.

* :mod:`~exporter.webconfig.schema`: which keys a file may have, and what one value by itself may be.
* :mod:`~exporter.webconfig.loader`: from a file to a :mod:`~exporter.webconfig.model`, or to every mistake;
  :mod:`~exporter.webconfig.certificates` are the files that it names.
* :mod:`~exporter.webconfig.tls`: from the model to what Python's ``ssl`` takes.
* :mod:`~exporter.webconfig.passwords`: whether a password is right; :mod:`~exporter.webconfig.turns` says
  which one is looked at next, :mod:`~exporter.webconfig.bucket` (pure) whether a request is one too many.
* :mod:`~exporter.webconfig.protection`: all of it in force for every request, and read again when it changes.

Source: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

from exporter.webconfig.loader import load_web_config
from exporter.webconfig.model import WebConfig
from exporter.webconfig.protection import Protection, protecting

__all__ = ["Protection", "WebConfig", "load_web_config", "protecting"]
