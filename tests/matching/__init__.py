"""Registers of addresses, and tables matched against them."""
