"""Plans become Python: names, annotations, module text, and a package on disk (`writer`)."""
