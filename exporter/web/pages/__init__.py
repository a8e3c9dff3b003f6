"""The pages for people. They only read: nothing on them changes anything.

* :mod:`~exporter.web.pages.fleet_page`: ``/``, the fleet at a glance: what needs a person
  (:mod:`~exporter.web.pages.attention`), and a :mod:`~exporter.web.pages.fleet_row` for each cluster that the
  address asks for.
* :mod:`~exporter.web.pages.cluster_page`: ``/clusters/NAME``.
* :mod:`~exporter.web.pages.cleanup_pages`: ``/cleanup`` and ``/cleanup/runs/ID``.
* :mod:`~exporter.web.pages.error_page`: an error as a page for browsers, as text for tools.
* :mod:`~exporter.web.pages.rendering`: templates, what they may use, and what the browser may load.
* :mod:`~exporter.web.pages.wording`: what the words of the API mean, and what to do about them.

Every page is complete without JavaScript. With it, pages refresh themselves and show times in the reader's
time zone.
"""
