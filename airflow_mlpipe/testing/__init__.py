"""Contract suites as pytest classes: inherit one and you know that your own datastore or compute target is right."""
