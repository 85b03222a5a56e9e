"""Report section that ranks the arms."""
