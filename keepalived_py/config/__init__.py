"""From the text of a configuration file to the model, with every mistake reported."""
