"""hookd: a webhook daemon, and the library that signs and verifies as it does."""
