"""What trains and measures: model families, data sources, the training loop and one thin Ray actor."""
