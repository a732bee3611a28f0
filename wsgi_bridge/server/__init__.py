"""What both protocol servers share, on the gevent hub. The only part of the core that imports gevent."""
