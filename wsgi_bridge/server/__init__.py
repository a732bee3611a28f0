"""What both protocol servers share, on the hub. Nothing else in the core imports gevent."""
