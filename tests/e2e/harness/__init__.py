"""Real processes, real clients and real file systems for the tests; every file is one thing."""
