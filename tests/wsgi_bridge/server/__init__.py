"""Tests of what both protocol servers share, on the gevent hub, with socketpairs."""
