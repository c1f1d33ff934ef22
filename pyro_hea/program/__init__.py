"""The Pyro programs and what they are made of."""
