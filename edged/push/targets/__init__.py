"""Where files can go: a tus server, a folder."""
