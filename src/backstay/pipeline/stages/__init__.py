"""What each stage does: read the inputs, call the package that knows how, write the outputs."""
