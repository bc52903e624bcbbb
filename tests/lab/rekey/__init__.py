"""Every row of a large store is sealed again while visitors change sessions: interrupted, resumed, and nothing is lost."""
