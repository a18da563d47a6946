"""The peers: each runs in its own environment, see `environments.py`.

Each file is written as a user of that server would write it from its documentation, and shares
nothing with this project but where it says so.
"""
