"""Decisions and nothing else: no clock, no socket, no file, no random number, no log call."""
