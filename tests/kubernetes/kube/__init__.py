"""A real Kubernetes for tests: kind from packages, and what the tests do with it."""
