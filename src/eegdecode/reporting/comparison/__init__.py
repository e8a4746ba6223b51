"""Comparisons of many run folders: who is better, by how much, and how far so few subjects can tell."""
