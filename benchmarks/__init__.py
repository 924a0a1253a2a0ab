"""How fast the library trains, beside a plain PyTorch loop and beside what the machine can do. See README.md here."""
