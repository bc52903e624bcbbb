"""The same input to ours and to another reading of the rules: npm's packages, and the RFC's own steps."""
