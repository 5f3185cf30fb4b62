"""Sources that lie elsewhere: Debian and Python packages, data sets of a hub. Each is fetched once and never run."""
