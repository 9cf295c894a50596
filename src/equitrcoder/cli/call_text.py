"""A recorded call in a few words: what it was about, and what became of it. The same words as in the tool log."""

from __future__ import annotations

from equitrcoder.ledger.readable import outcome as outcome
from equitrcoder.ledger.readable import outcome_of as outcome_of
from equitrcoder.ledger.readable import subject as subject
from equitrcoder.ledger.readable import subject_of as subject_of
