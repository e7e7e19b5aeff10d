"""Documents of series: the one place that knows what is current."""
