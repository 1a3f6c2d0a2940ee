"""A standing attack on the project's own commands: `make faults`, or python -m tools.faults --help.

`cases` are numbered, each a fault on a route. A route (`routes`) is a command, what it is given and what it
leaves. `damages` spoil one file between two runs; `processes` run commands that are killed, run out of disk
or lose their drive; `attack` puts them together and judges what follows.
"""
