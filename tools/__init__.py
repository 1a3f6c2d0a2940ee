"""Commands behind the Makefile: run the series, rebuild the committed notebooks."""
