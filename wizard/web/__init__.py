"""The pages of the web app. Import from the modules."""
