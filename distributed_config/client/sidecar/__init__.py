"""Files that follow services, beside an application that reads files."""
