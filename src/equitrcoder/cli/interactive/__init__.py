"""The interactive session: `equitrcoder` at a terminal, and `equitrcoder-simple` in plain lines.

`start` decides which of the two it is; `chat` is the loop both share. What reads lines (`lines`, `prompting`) and what
shows a turn (`view`) differ; both stand behind the same few methods.
"""
