"""The commands `index`, `match` and `dedupe`: compare tables of addresses. Built on `bulk`."""
