"""The errors that hookd raises on purpose; each message is one line that a person can act on."""

from dataclasses import dataclass


class HookdError(Exception):
    """Base of every error below: its text says what is wrong, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: a JSON pointer or a config key, and what was expected there."""

    pointer: str
    detail: str


class InvalidInput(HookdError):
    """The caller's input can't be accepted (HTTP 422); it names every fault."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = faults


class NotFound(HookdError):
    """What was asked for does not exist, or not for this caller (HTTP 404)."""


class Conflict(HookdError):
    """The state of things forbids it (HTTP 409)."""


class Unreadable(HookdError):
    """The bytes of a request make no sense (HTTP 400)."""


class Unavailable(HookdError):
    """The store can't commit right now (HTTP 503); the same call may succeed later."""


class ConfigError(HookdError):
    """The configuration can't be used; it names every fault."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = faults


class StartError(HookdError):
    """The daemon can't start: an address in use, a store that another daemon owns."""


class BlockedAddress(HookdError):
    """The egress guard refuses to dial an address."""


class SignatureError(HookdError):
    """A request is not authentic; `reason` is a stable code, the text is for the operator only."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
