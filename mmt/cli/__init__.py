"""The commands, one thin module each: they parse, make one call that works the same in a notebook, and print what it wrote."""
