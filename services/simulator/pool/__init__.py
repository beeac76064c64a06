"""A pool of simulated hosts: what it is made of, and what may befall it."""
