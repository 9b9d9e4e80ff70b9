"""`edged setup`: finds cameras, shows what they see, tries mail and receiver, and writes the configuration."""
