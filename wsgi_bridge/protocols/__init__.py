"""Sans-I/O state machines: an HTTP exchange and a WebSocket connection.

State and event in, state and bytes out. No socket, clock, thread, logging or layer here.
"""
