"""What all requests of a conversation share at their start, and how hosts find what they keep of it."""

from __future__ import annotations

from equitrcoder.wires.values import Conversation, UserMessage


def cache_key(conversation: Conversation) -> str:
    """A key that all requests of a conversation share, and with it the server that holds its prefix.

    Example:
        >>> said = Conversation(system="S", messages=[UserMessage(text="Hi")])
        >>> len(cache_key(said)), cache_key(said) == cache_key(Conversation(system="S"))
        (32, False)
    """
    from hashlib import sha256

    first = conversation.messages[0] if conversation.messages else None
    text = first.text if isinstance(first, UserMessage) else ""
    return sha256(f"{conversation.system}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
