"""Names of what lies among the bundles and is no run's."""

SHARES = "shares"  # the stored content of frozen links, a folder each
IMPORTS = ".import-"  # begins the name of a folder where an import is unpacked
