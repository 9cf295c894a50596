"""Rules that a person writes down: what an agent may do, what is asked about, and what is never done.

`written` reads a rule; `shell` takes a command line apart, and `trees` says whether the parser can be believed;
`wrapping` finds the commands inside commands; `matching` compares; `judging` says which rule holds for a call. Nothing
here is imported while there are no rules. Docs: docs/approvals.md.
"""
