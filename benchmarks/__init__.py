"""The figures that the product promises, measured against the peers it is compared with: ``make bench``."""
