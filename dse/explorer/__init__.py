"""The explorer: a front as one HTML file that needs no network and no server."""

from dse.explorer.page import MOST, explorer, write_explorer

__all__ = ["MOST", "explorer", "write_explorer"]
