"""Who may see the pages: TLS, passwords and a rate limit, in the format of Prometheus's exporter-toolkit.

* :mod:`~exporter.web.auth.toolkit_schema`: which keys a file may have, and what one value by itself may be.
* :mod:`~exporter.web.auth.toolkit_file`: from a file to a :mod:`~exporter.web.auth.web_config`, or to every
  mistake; :mod:`~exporter.web.auth.toolkit_tls` is the part about TLS.
* :mod:`~exporter.web.auth.tls_context`: from the configuration to what Python's ``ssl`` takes.
* :mod:`~exporter.web.auth.passwords`: whether a password is right; :mod:`~exporter.web.auth.fair_queue`
  decides which one is checked next.
* :mod:`~exporter.web.auth.rate_limit`: whether a request is one too many (pure).
* :mod:`~exporter.web.auth.protection`: all of it applied to every request, and read again when it changes.

Source: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

from exporter.web.auth.protection import Protection, protecting
from exporter.web.auth.toolkit_file import load_web_config
from exporter.web.auth.web_config import WebConfig

__all__ = ["Protection", "WebConfig", "load_web_config", "protecting"]
