"""Tells people and systems what happened.

An event becomes one delivery per recipient of every channel whose rule wants it, in the transaction that
remembers the event. The courier then carries each delivery to its peer, every channel by itself, up to eight
times within an hour, and notes the peer's answer.

Promises:

- A delivery that was written is delivered or reported as failed (``DeliveryFailed``, told by the others).
- At least once: when the process dies between a peer's yes and our note of it, the same message goes out
  again, with the same identity (mail: Message-ID; syslog: ``delivery`` in the structured data; SMS has none).
- What the peer cannot confirm (syslog) is never listed as confirmed.
- Secrets are files in one directory, named by channels, read anew for each attempt, and shown nowhere.
"""
