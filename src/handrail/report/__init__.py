"""The honest report drawn: report.html and the model card, from report.json alone."""
