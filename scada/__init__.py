"""The hub of Wattkeeper: process image, scan, commands, link, data base, supervision. It knows no room."""

__version__ = "0.1.0"
