"""Tiny WSGI apps and Bridges that the integration tests run under real servers."""
