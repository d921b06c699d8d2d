"""Tables and lists of files in; images, manifests and galleries out."""
