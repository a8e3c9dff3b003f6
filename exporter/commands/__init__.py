"""The commands: their flags, and what each does from there to its exit code.

:mod:`exporter.cli` has the parser, :mod:`~exporter.commands.flags` adds the flags of each command to it, and
:mod:`~exporter.commands.entry_points` runs the commands. :mod:`~exporter.commands.loading` loads their
configurations. :mod:`~exporter.commands.demo`, :mod:`~exporter.commands.health` and
:mod:`~exporter.commands.harvest` are the commands ``demo``, ``health`` and ``import-harvest``. A command
loads only the libraries that it needs.
"""
