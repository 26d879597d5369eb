"""The configuration: a TOML file and the environment, read as a whole into frozen Settings, or not at all."""

from hookd.config.manual import settings_table
from hookd.config.places import Address
from hookd.config.reading import expect_token, locate, read
from hookd.config.settings import (
    DeliverySettings,
    LogSettings,
    NetworkSettings,
    ServerSettings,
    Settings,
    StoreSettings,
)
from hookd.config.showing import shown

__all__ = [
    "Address",
    "DeliverySettings",
    "LogSettings",
    "NetworkSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "expect_token",
    "locate",
    "read",
    "settings_table",
    "shown",
]
