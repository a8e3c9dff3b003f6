"""ONTAP's API as far as it is simulated: paths, queries, pages, replies."""
