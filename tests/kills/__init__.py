"""Verbs that are killed at random moments and begun again: what they leave is what an undisturbed run leaves.

``python -m tests.kills --verb prepare --kills 100 --seed 0``; without ``--verb``, all of them. Needs Linux.
"""
