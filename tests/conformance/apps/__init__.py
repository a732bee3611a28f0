"""The same echo under every server: what comes goes back, as what it came, up to 16 MiB."""

# The longest message of the Autobahn cases.
MAX_SIZE = 16 * 1024 * 1024
