"""mmt-studio: a local web page on which one composes with a model, and its HTTP API. Nothing but the command imports it."""
