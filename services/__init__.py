"""Processes that answer over HTTP: thin edges over plain functions. May import `data`."""
