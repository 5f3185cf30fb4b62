"""Released benchmarks by name, with the settings of the report; their data comes from a file or a package."""
