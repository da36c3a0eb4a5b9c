"""The nouns that every floor shares. Nothing here does work or imports a heavy library."""
