"""Who may see the pages: TLS, passwords and a rate limit, in the format of Prometheus's exporter-toolkit.

* :mod:`~exporter.web.auth.toolkit_schema`: the keys of a file, and the values that each may have.
* :mod:`~exporter.web.auth.toolkit_file`: from a file to a :class:`WebConfig`, or to every mistake;
  :mod:`~exporter.web.auth.toolkit_tls` is the part about TLS, up to Python's ``ssl`` context.
* :mod:`~exporter.web.auth.passwords`: whether a password is right; :mod:`~exporter.web.auth.fair_queue`
  decides which one is checked next.
* :mod:`~exporter.web.auth.protection`: checks every request, limits their rate, and reads the files again
  when they change.

Source: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

from exporter.web.auth.protection import Protection, protecting
from exporter.web.auth.toolkit_file import WebConfig, load_web_config

__all__ = ["Protection", "WebConfig", "load_web_config", "protecting"]
