"""Programs that run in the virtual environment of requirements/compare.txt, and import nothing of ours."""
