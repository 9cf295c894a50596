"""One run: conversation, turns, approvals, budget, middleware, prompts.

`session.Session` puts the parts together and is what the faces use; `loop.AgentRun` is the run itself.
"""
