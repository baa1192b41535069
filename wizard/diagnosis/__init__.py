"""Diagnosis: why something failed, with causes, evidence and a fix. Import from the modules."""
