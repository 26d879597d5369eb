"""Handlers: the destinations inside the daemon. A handler is a line of the log, a Python function or a program.

They are declared in the configuration alone, since they are code that the daemon runs.
"""

from hookd.handlers.exec import located
from hookd.handlers.message import Message
from hookd.handlers.runner import Runner, load

__all__ = ["Message", "Runner", "load", "located"]
