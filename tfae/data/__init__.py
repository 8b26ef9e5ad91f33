"""Where rows come from and how they reach the compiled step."""
