"""Pages: templates, safe headers, static files and media for the device's status page and the receiver's pages."""
