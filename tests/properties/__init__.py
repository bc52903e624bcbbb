"""Laws that hold for every value, tried with hypothesis."""
