python release.py A
