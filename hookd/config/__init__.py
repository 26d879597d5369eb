"""The configuration: a TOML file and the environment, read as a whole into frozen Settings, or not at all."""

from hookd.config.places import Address
from hookd.config.settings import (
    DeliverySettings,
    LogSettings,
    NetworkSettings,
    ServerSettings,
    Settings,
    StoreSettings,
)

__all__ = [
    "Address",
    "DeliverySettings",
    "LogSettings",
    "NetworkSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
]
