"""Azure Blob Storage as a datastore. Nothing of Azure is imported before the first request."""
