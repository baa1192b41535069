"""Why something failed: causes, evidence and a fix."""
