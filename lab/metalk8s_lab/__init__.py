"""A lab of real hosts on one machine, with the standard library only: see ``lab/lab`` for the command."""
