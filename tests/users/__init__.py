"""The sessions of a user: how each store finds them, and what a manager does with them."""
