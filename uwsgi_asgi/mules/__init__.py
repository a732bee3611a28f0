"""The files that uWSGI runs as mules. They are no modules to import."""
