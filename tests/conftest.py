"""What every test can rely on."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell starts what runs in its background with SIGINT ignored, and every process of a test would inherit that."""
