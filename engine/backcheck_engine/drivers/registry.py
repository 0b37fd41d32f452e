"""Where drivers are looked up by name. The table is `block.driver_table`, for opening a node needs it too."""

from backcheck_engine.block.driver_table import all_names, driver_class
from backcheck_engine.block.probing import probe

__all__ = ["all_names", "driver_class", "probe"]
