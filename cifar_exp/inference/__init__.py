"""A trained network at work: classifier, evaluation, prediction; shared by export, report and training."""
