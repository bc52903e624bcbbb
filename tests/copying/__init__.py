"""Shows that a copy signs nobody out, signs nobody in again and overwrites nothing newer, wherever it is killed."""
