"""Never run: the golden files only name this script (score)."""
