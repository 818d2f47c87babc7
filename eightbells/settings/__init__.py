"""Every setting, from `eightbells.toml`, the environment (`EIGHTBELLS_SECTION__NAME`) or its default."""

from eightbells.settings.model import PAPER_KEY, PAPER_SECRET, PROJECT, Credentials, Mode, Settings
from eightbells.settings.reading import SettingsRefused, load_settings
from eightbells.settings.sections import (
    BudgetSettings,
    LimitSettings,
    RiskSettings,
    StrategySettings,
    UniverseSettings,
)
from eightbells.settings.sources import config_file

__all__ = [
    "PAPER_KEY",
    "PAPER_SECRET",
    "PROJECT",
    "BudgetSettings",
    "Credentials",
    "LimitSettings",
    "Mode",
    "RiskSettings",
    "Settings",
    "SettingsRefused",
    "StrategySettings",
    "UniverseSettings",
    "config_file",
    "load_settings",
]
