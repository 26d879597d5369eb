"""Measures hookd on this machine, each figure beside its yardstick: what the machine does without hookd.

Drain, pipeline and latency are the scenarios. Whatever must not become the limit, the generator of load and
the sink that receives it, has a process of its own and speaks HTTP on raw sockets. The yardsticks are bare
aiohttp, each in a process of its own as well.
"""
