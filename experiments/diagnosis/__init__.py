"""Diagnosis of a run: can its networks still learn, which method restores that, and what does it cost?"""
