"""What the kind `fuzz` throws at edged: mutated and made-up input for its ports, its peers' answers and its parsers."""
