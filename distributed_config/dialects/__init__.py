"""The APIs of other config servers, a file for each, over the same services."""
